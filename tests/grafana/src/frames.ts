// Prometheus' answers as the data frames that reach Grafana's browser. What the backend does in Go is
// written here after pkg/promlib (one frame a series, named by the legend); what the browser does
// with these frames is Grafana's own code.
import { PrometheusDatasource, type PromQuery } from '@grafana/prometheus';
import {
  FieldType,
  dataFrameToJSON,
  toDataFrame,
  type AnnotationEvent,
  type DataFrame,
  type DataQueryRequest,
} from '@grafana/data';
import { transformV2 } from '../../node_modules/@grafana/prometheus/dist/esm/result_transformer.mjs';
import type { Board } from './board_types';

type Labels = Record<string, string>;
type Sample = [seconds: number, value: string];

/** A query or an annotation, and what Prometheus answered: `value` of an instant, `values` of a range. */
export interface Answer<Target> {
  target: Target;
  result: Array<{ metric: Labels; value?: Sample; values?: Sample[] }>;
}

export type Mark = NonNullable<Board['annotations']['list']>[number];

/** What Python hands over: a board with the answers of its panels, by their ids, and of its marks. */
export interface Answered {
  board: Board;
  answers: Record<number, Array<Answer<PromQuery>>>;
  marks: Array<Answer<Mark>>;
  /** In ms, and the interval of the points in seconds. */
  range: { from: number; to: number; step: number };
}

/** The frames that a panel gets from its data source. */
export function panelFrames(answered: Answered, panel: number): DataFrame[] {
  const answers = answered.answers[panel] ?? [];
  const data = answers.flatMap((answer) => backendFrames(answer, answer.target.refId, answered.range.step));
  const request = { targets: answers.map((answer) => answer.target) } as DataQueryRequest<PromQuery>;
  return transformV2({ data }, request, {}).data;
}

/** The events that all panels are marked with. */
export function markedEvents(answered: Answered): AnnotationEvent[] {
  const settings = { id: 1, uid: 'prometheus', url: '', jsonData: {} };
  const source = new PrometheusDatasource(settings as never, {} as never, {} as never);
  return answered.marks.flatMap(({ target, result }) => {
    const frames = backendFrames({ target, result }, 'Anno', answered.range.step);
    const response = { results: { Anno: { frames: frames.map(dataFrameToJSON) } } };
    return source.processAnnotationResponse({ annotation: target } as never, response as never);
  });
}

function backendFrames(answer: Answer<PromQuery | Mark>, refId: string, step: number): DataFrame[] {
  const legend = 'legendFormat' in answer.target ? answer.target.legendFormat : undefined;
  const frames = answer.result.map(({ metric, value, values }) => {
    const samples = values ?? (value ? [value] : []);
    const name = legend ? legendOf(legend, metric) : undefined;
    return toDataFrame({
      refId,
      name,
      meta: { executedQueryString: `Expr: ${answer.target.expr}\nStep: ${step}s` },
      fields: [
        { name: 'Time', type: FieldType.time, config: { interval: step * 1000 }, values: samples.map(([at]) => at * 1000) },
        {
          name: 'Value',
          type: FieldType.number,
          labels: metric,
          config: name ? { displayNameFromDS: name } : {},
          values: samples.map(([, value]) => Number(value)),
        },
      ],
    });
  });
  // The backend hangs what it knows of a query on a frame, also where nothing was found.
  return frames.length ? frames : [toDataFrame({ refId, fields: [] })];
}

/** A legend with the labels that a series has; of others, nothing. */
function legendOf(format: string, labels: Labels): string {
  return format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label: string) => labels[label] ?? '');
}
