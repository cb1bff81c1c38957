// Draws a board with its answers, as Python handed them over in `window.shown`, with @grafana/scenes.
// `window.drawn` says, when all is drawn, what each panel is called and whether it shows an error.
import {
  LoadingState,
  arrayToDataFrame,
  EventBusSrv,
  ThemeContext,
  createTheme,
  dateTime,
  type DataFrame,
  type PanelData,
  type TimeRange,
} from '@grafana/data';
import { config, setAppEvents, setPluginImportUtils } from '@grafana/runtime';
import {
  ConstantVariable,
  CustomVariable,
  EmbeddedScene,
  SceneDataNode,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneGridRow,
  SceneTimePicker,
  SceneTimeRange,
  SceneVariableSet,
  VariableValueSelectors,
  VizPanel,
  sceneUtils,
} from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { Global } from '@emotion/react';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import type { Board } from './board_types';
import { register } from './fields';
import { markedEvents, panelFrames, type Answered } from './frames';
import { plugins } from './plugins';

import 'uplot/dist/uPlot.min.css';

declare global {
  interface Window {
    shown: Answered & { colors: 'light' | 'dark' };
  }
}

type Panel = Exclude<Board['panels'][number], { type: 'row' }>;

function scene(answered: Answered): EmbeddedScene {
  const { board, range } = answered;
  const timeRange = {
    from: dateTime(range.from),
    to: dateTime(range.to),
    raw: { from: dateTime(range.from), to: dateTime(range.to) },
  };
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: timeRange.from.toISOString(), to: timeRange.to.toISOString(), timeZone: 'utc' }),
    $variables: new SceneVariableSet({ variables: board.templating.list.map(variable) }),
    controls: [new VariableValueSelectors({}), new SceneTimePicker({})],
    body: new SceneGridLayout({ children: board.panels.map((panel) => cell(answered, panel, timeRange)) }),
  });
}

function variable({ name, label, type }: Board['templating']['list'][number]) {
  if (type === 'datasource') {
    return new ConstantVariable({ name, value: 'Prometheus', hide: 2 });
  }
  return new CustomVariable({ name, label, query: '', value: '$__all', text: 'All', includeAll: true, isMulti: true });
}

function cell(answered: Answered, panel: Board['panels'][number], timeRange: TimeRange) {
  const place = { x: panel.gridPos!.x, y: panel.gridPos!.y, width: panel.gridPos!.w, height: panel.gridPos!.h };
  if (panel.type === 'row') {
    return new SceneGridRow({ ...place, title: panel.title, isCollapsible: false, children: [] });
  }
  return new SceneGridItem({ ...place, body: vizPanel(answered, panel as Panel, timeRange) });
}

function vizPanel(answered: Answered, panel: Panel, timeRange: TimeRange): VizPanel {
  const data: PanelData = {
    state: LoadingState.Done,
    series: panel.type === 'text' ? [] : panelFrames(answered, panel.id!),
    annotations: [marks(answered)],
    timeRange,
    structureRev: 1,
  };
  return new VizPanel({
    pluginId: panel.type,
    title: panel.title,
    description: panel.description,
    options: panel.options as never,
    fieldConfig: panel.fieldConfig as never,
    $data: new SceneDataTransformer({
      $data: new SceneDataNode({ data }),
      transformations: (panel.transformations ?? []) as never,
    }),
  });
}

/** What Grafana's application says of the grid in its style sheet. */
const GRID = '* { box-sizing: border-box } body { margin: 0 } .react-grid-layout { position: relative } .react-grid-item { position: absolute }';
const CELL = 38;
const HEAD = 100;

/** So many px that no panel waits to be scrolled to. */
function heightOf(board: Board): number {
  return HEAD + CELL * Math.max(...board.panels.map(({ gridPos }) => gridPos!.y + gridPos!.h));
}

function marks(answered: Answered): DataFrame {
  return arrayToDataFrame(markedEvents(answered).map(({ annotation: _, ...event }) => event));
}

function main(): void {
  register();
  const bus = new EventBusSrv();
  setAppEvents(bus);
  const mode = window.shown.colors;
  config.theme2 = createTheme({ colors: { mode } });
  setPluginImportUtils({
    getPanelPluginFromCache: () => undefined,
    importPanelPlugin: (id) => Promise.reject(new Error(`${id} is no panel of our boards`)),
  });
  for (const plugin of plugins()) {
    sceneUtils.registerRuntimePanelPlugin({ pluginId: plugin.meta.id, plugin });
  }
  const shown = scene(window.shown);
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={config.theme2}>
      <GlobalStyles />
      <MemoryRouter>
        <Global styles={GRID} />
        <div style={{ display: 'flex', flexDirection: 'column', padding: 8, height: heightOf(window.shown.board) }}>
          <h1 style={{ margin: '4px 8px 8px', fontSize: 20 }}>{window.shown.board.title}</h1>
          <shown.Component model={shown} />
        </div>
        <PortalContainer />
      </MemoryRouter>
    </ThemeContext.Provider>
  );
}

main();
