// A generated board as Grafana's own types describe it, with no key that they do not have. Each kind
// of panel has the types of its options and of its fields; overrides have those of what they set.
import type { PromQuery } from '@grafana/prometheus';
import type {
  AnnotationQuery,
  Dashboard,
  FieldConfig,
  FieldConfigSource,
  GraphFieldConfig,
  Panel,
  RowPanel,
  TableFieldOptions,
  VariableModel,
} from '@grafana/schema';
import type { Options as BarGauge } from '@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen.js';
import type { Options as Stat } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.js';
import type {
  FieldConfig as TimelineFields,
  Options as Timeline,
} from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen.js';
import type { Options as Table } from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.js';
import type { Options as Text } from '@grafana/schema/dist/esm/raw/composable/text/panelcfg/x/TextPanelCfg_types.gen.js';
import type { Options as TimeSeries } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.js';

/** A type as JSON has it: a member of an enum of strings is that string. */
type Plain<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends object
      ? { [K in keyof T]: Plain<T[K]> }
      : T;

type Setting<T, Prefix extends string> = {
  [K in keyof T & string]-?: { id: `${Prefix}${K}`; value: NonNullable<T[K]> };
}[keyof T & string];

interface Fields<Custom> extends Omit<FieldConfigSource, 'defaults' | 'overrides'> {
  defaults: Omit<FieldConfig, 'custom'> & { custom?: Custom };
  overrides: Array<{
    matcher: { id: 'byName' | 'byRegexp' | 'byFrameRefID'; options: string };
    properties: Array<Setting<Omit<FieldConfig, 'custom' | 'links'>, ''> | Setting<Custom, 'custom.'> | Links>;
  }>;
}

/** What Grafana's schema calls `unknown`. */
interface Links {
  id: 'links';
  value: Array<{ title: string; url: string }>;
}

interface PanelOf<Type extends string, Options, Custom>
  extends Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  type: Type;
  options: Partial<Options>;
  fieldConfig: Fields<Partial<Custom>>;
  targets?: PromQuery[];
}

type AnyPanel =
  | PanelOf<'bargauge', BarGauge, never>
  | PanelOf<'stat', Stat, never>
  | PanelOf<'state-timeline', Timeline, TimelineFields>
  | PanelOf<'table', Table, TableFieldOptions>
  | PanelOf<'text', Text, never>
  | PanelOf<'timeseries', TimeSeries, GraphFieldConfig>;

/** What Prometheus' data source reads of an annotation beside what all have. */
interface Mark extends Omit<AnnotationQuery, 'target'> {
  expr: string;
  titleFormat: string;
}

/** The SDK writes of every variable what only those of an interval have. */
interface Variable extends VariableModel {
  auto?: false;
  auto_count?: number;
  auto_min?: string;
}

export type Board = Plain<
  Omit<Dashboard, 'panels' | 'annotations' | 'templating'> & {
    panels: Array<AnyPanel | RowPanel>;
    annotations: { list?: Mark[] };
    templating: { list: Variable[] };
  }
>;
