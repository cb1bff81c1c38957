// The six kinds of panels of our boards, of Grafana's published components. These are not Grafana's own
// panels, which are in no package: those have more settings and finer layouts, and read the same fields.
import {
  DataFrameView,
  PanelPlugin,
  ReducerID,
  VizOrientation,
  formattedValueToString,
  getDisplayValueAlignmentFactors,
  getFieldDisplayName,
  getFieldDisplayValues,
  renderMarkdown,
  type AnnotationEvent,
  type DataFrame,
  type DisplayValueAlignmentFactors,
  type Field,
  type FieldDisplay,
  type PanelProps,
} from '@grafana/data';
import {
  BarGauge,
  BigValue,
  BigValueColorMode,
  BigValueJustifyMode,
  Table,
  TimeSeries,
  VizLegend,
  VizRepeater,
  useTheme2,
  type UPlotConfigBuilder,
  type VizRepeaterRenderValueProps,
} from '@grafana/ui';
import {
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeSizing,
  BarGaugeValueMode,
  BigValueGraphMode,
  BigValueTextMode,
  LegendDisplayMode,
  type VizLegendOptions,
} from '@grafana/schema';
import type { ReactElement } from 'react';
import { fieldRegistry } from './fields';

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Props = PanelProps<any>;

function useValues(props: Props, sparkline: boolean): () => FieldDisplay[] {
  const theme = useTheme2();
  return () =>
    getFieldDisplayValues({
      fieldConfig: props.fieldConfig,
      reduceOptions: props.options.reduceOptions ?? { calcs: [ReducerID.lastNotNull] },
      replaceVariables: props.replaceVariables,
      theme,
      data: props.data.series,
      timeZone: props.timeZone,
      sparkline,
    });
}

function Stat(props: Props): ReactElement {
  const theme = useTheme2();
  const { options } = props;
  const values = useValues(props, options.graphMode !== BigValueGraphMode.None);
  type One = VizRepeaterRenderValueProps<FieldDisplay, DisplayValueAlignmentFactors>;
  const one = ({ value, width, height, alignmentFactors }: One) => (
    <BigValue
      alignmentFactors={alignmentFactors}
      value={value.display}
      sparkline={value.sparkline}
      colorMode={options.colorMode ?? BigValueColorMode.Value}
      graphMode={options.graphMode ?? BigValueGraphMode.None}
      justifyMode={BigValueJustifyMode.Auto}
      textMode={options.textMode ?? BigValueTextMode.Auto}
      disableWideLayout={!options.wideLayout}
      width={width}
      height={height}
      theme={theme}
      count={values().length}
    />
  );
  return <Repeated {...props} values={values} render={one} orientation={options.orientation ?? VizOrientation.Auto} />;
}

function Bars(props: Props): ReactElement {
  const theme = useTheme2();
  const values = useValues(props, false);
  const one = ({ value, width, height }: VizRepeaterRenderValueProps<FieldDisplay>) => (
    <BarGauge
      value={value.display}
      field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
      orientation={VizOrientation.Horizontal}
      displayMode={BarGaugeDisplayMode.Basic}
      valueDisplayMode={BarGaugeValueMode.Text}
      namePlacement={props.options.namePlacement ?? BarGaugeNamePlacement.Left}
      showUnfilled
      itemSpacing={8}
      width={width}
      height={height}
      theme={theme}
    />
  );
  return <Repeated {...props} values={values} render={one} orientation={VizOrientation.Horizontal} />;
}

interface RepeatedProps extends Props {
  values: () => FieldDisplay[];
  render: (one: VizRepeaterRenderValueProps<FieldDisplay, DisplayValueAlignmentFactors>) => ReactElement;
  orientation: VizOrientation;
}

function Repeated({ values, render, orientation, width, height, renderCounter, data }: RepeatedProps): ReactElement {
  return (
    <VizRepeater
      getValues={values}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={render}
      width={width}
      height={height}
      source={data}
      autoGrid
      renderCounter={renderCounter}
      orientation={orientation}
      itemSpacing={8}
      minVizHeight={16}
      minVizWidth={8}
    />
  );
}

function Lines({ data, options, timeRange, timeZone, width, height }: Props): ReactElement {
  const frames = data.series.filter((frame) => frame.length > 0);
  if (!frames.length) {
    return <NoData />;
  }
  return (
    <TimeSeries
      frames={frames}
      structureRev={data.structureRev ?? 1}
      timeRange={timeRange}
      timeZone={timeZone}
      width={width}
      height={height}
      legend={options.legend as VizLegendOptions}
      options={options}
    >
      {(config) => {
        mark(config, data.annotations ?? []);
        return null;
      }}
    </TimeSeries>
  );
}

const marked = new WeakSet<UPlotConfigBuilder>();

/** Shade the stretches of the annotations. */
function mark(config: UPlotConfigBuilder, annotations: DataFrame[]): void {
  if (marked.has(config)) {
    return;
  }
  marked.add(config);
  const events = annotations.flatMap((frame) => new DataFrameView<AnnotationEvent>(frame).toArray());
  config.addHook('drawClear', ({ ctx, bbox, valToPos }) => {
    for (const { time, timeEnd } of events) {
      const [start, end] = [valToPos(time!, 'x', true), valToPos(timeEnd ?? time!, 'x', true)];
      ctx.fillStyle = 'rgba(213, 94, 0, 0.15)';
      ctx.fillRect(start, bbox.top, Math.max(end - start, 1), bbox.height);
    }
  });
}

const AXIS = 24;
const LEGEND = 30;

function Timeline({ data, options, timeRange, width, height }: Props): ReactElement {
  const theme = useTheme2();
  const rows = data.series.flatMap((frame) => frame.fields.filter((f) => f.type !== 'time').map((field) => ({ frame, field })));
  if (!rows.length) {
    return <NoData />;
  }
  const names = rows.map(({ frame, field }) => getFieldDisplayName(field, frame, data.series));
  const left = Math.min(width / 3, 16 + 7 * Math.max(...names.map((name) => name.length)));
  const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const at = (time: number) => left + ((Math.max(time, from) - from) / (to - from)) * (width - left);
  const each = (height - AXIS - LEGEND) / rows.length;
  const tall = each * (options.rowHeight ?? 0.9);
  const legend = new Map<string, string>();
  const bands = rows.flatMap(({ frame, field }, row) =>
    merged(frame, field).map(({ start, end, text, color }) => {
      legend.set(text, color);
      const [x, wide] = [at(start), at(end) - at(start)];
      return (
        <g key={`${row}-${start}`}>
          <rect x={x} y={row * each} width={Math.max(wide, 1)} height={tall} fill={color} fillOpacity={0.8} />
          {wide > 8 * text.length && tall > 12 && (
            <text x={x + 5} y={row * each + tall / 2 + 4} fontSize={12} fill={theme.colors.getContrastText(color)}>
              {text}
            </text>
          )}
        </g>
      );
    })
  );
  return (
    <>
      <svg width={width} height={height - LEGEND} fill={theme.colors.text.secondary} fontSize={12}>
        {rows.map(({ field }, row) => (
          <a key={names[row]} href={field.getLinks?.({ valueRowIndex: 0 })[0]?.href}>
            <text x={left - 6} y={row * each + tall / 2 + 4} textAnchor="end">
              {names[row]}
            </text>
          </a>
        ))}
        {bands}
        {[0, 0.25, 0.5, 0.75].map((part) => (
          <text key={part} x={left + part * (width - left)} y={height - LEGEND - 6}>
            {new Date(from + part * (to - from)).toISOString().slice(11, 16)}
          </text>
        ))}
      </svg>
      <VizLegend
        items={[...legend].map(([label, color]) => ({ label, color, yAxis: 1 }))}
        displayMode={LegendDisplayMode.List}
        placement="bottom"
      />
    </>
  );
}

interface Band {
  start: number;
  end: number;
  text: string;
  color: string;
}

/** The stretches in which a field says the same; each lasts until the next point. */
function merged(frame: DataFrame, field: Field): Band[] {
  const times: number[] = frame.fields.find((f) => f.type === 'time')?.values ?? [];
  const step = frame.fields[0]?.config.interval ?? 0;
  const bands: Band[] = [];
  times.forEach((start, i) => {
    const display = field.display!(field.values[i]);
    const [text, color, end] = [formattedValueToString(display), display.color ?? 'grey', start + step];
    const last = bands[bands.length - 1];
    if (last && last.text === text && start <= last.end) {
      last.end = end;
    } else {
      bands.push({ start, end, text, color });
    }
  });
  return bands;
}

function Rows({ data, options, width, height }: Props): ReactElement {
  const [frame] = data.series;
  if (!frame?.length) {
    return <NoData />;
  }
  return <Table data={frame} width={width} height={height} showTypeIcons={false} initialSortBy={options.sortBy} />;
}

function Words({ options, height }: Props): ReactElement {
  const html = renderMarkdown(options.content as string);
  return <div className="markdown-html" style={{ height, overflow: 'auto' }} dangerouslySetInnerHTML={{ __html: html }} />;
}

function NoData(): ReactElement {
  return <div style={{ display: 'grid', placeItems: 'center', height: '100%' }}>No data</div>;
}

const COMPONENTS: Record<string, (props: Props) => ReactElement> = {
  stat: Stat,
  bargauge: Bars,
  timeseries: Lines,
  'state-timeline': Timeline,
  table: Rows,
  text: Words,
};

/** The plugins by the names that boards call them. */
export function plugins(): PanelPlugin[] {
  return Object.entries(COMPONENTS).map(([id, component]) => {
    const plugin = new PanelPlugin(component);
    plugin.meta = { id, name: id, info: { version: '0' } } as PanelPlugin['meta'];
    plugin.setDataSupport({ annotations: true, alertStates: false });
    Object.defineProperty(plugin, 'fieldConfigRegistry', { get: () => fieldRegistry(id) });
    return plugin;
  });
}
