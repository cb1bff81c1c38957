// What a reader of each panel reads: names, texts, colours and links, by Grafana's own code. Reads
// boards with their answers from stdin, as a list, and writes a list of what each shows.
import {
  applyFieldOverrides,
  createTheme,
  formattedValueToString,
  getFieldDisplayName,
  getFieldDisplayValues,
  transformDataFrame,
  type DataFrame,
  type DisplayValue,
  type Field,
} from '@grafana/data';
import { firstValueFrom } from 'rxjs';
import { readFileSync } from 'node:fs';
import type { Board } from './board_types';
import { fieldRegistry, register } from './fields';
import { markedEvents, panelFrames, type Answered } from './frames';

type Panel = Exclude<Board['panels'][number], { type: 'row' }>;

const theme = createTheme();
const timeZone = 'utc';
const asWritten = (text: string) => text;

async function shown(answered: Answered, panel: Panel): Promise<object> {
  const frames = await firstValueFrom(
    transformDataFrame((panel.transformations ?? []) as never, panelFrames(answered, panel.id!))
  );
  const data = applyFieldOverrides({
    data: frames,
    fieldConfig: panel.fieldConfig as never,
    fieldConfigRegistry: fieldRegistry(panel.type),
    replaceVariables: asWritten,
    theme,
    timeZone,
  });
  if (panel.type === 'stat' || panel.type === 'bargauge') {
    return { title: panel.title, numbers: numbers(panel, data) };
  }
  if (panel.type === 'table') {
    return { title: panel.title, ...rows(data) };
  }
  return { title: panel.title, series: data.flatMap((frame) => series(frame, data)) };
}

function numbers(panel: Panel, data: DataFrame[]): object[] {
  const { reduceOptions } = panel.options as { reduceOptions: never };
  const values = getFieldDisplayValues({
    fieldConfig: panel.fieldConfig as never,
    reduceOptions,
    replaceVariables: asWritten,
    theme,
    data,
    timeZone,
  });
  return values.map(({ display }) => ({ name: display.title, ...worded(display) }));
}

function rows(data: DataFrame[]): object {
  const frame = data[0];
  const fields = (frame?.fields ?? []).filter((field) => !field.config.custom?.hidden);
  return {
    columns: fields.map((field) => getFieldDisplayName(field, frame)),
    rows: Array.from({ length: frame?.length ?? 0 }, (_, row) =>
      fields.map((field) => formattedValueToString(field.display!(field.values[row])))
    ),
    links: Object.fromEntries(
      fields.flatMap((field) => (field.config.links ?? []).map((link) => [getFieldDisplayName(field, frame), link.url]))
    ),
  };
}

function series(frame: DataFrame, data: DataFrame[]): object[] {
  return frame.fields
    .filter((field) => field.type !== 'time')
    .map((field) => ({
      name: getFieldDisplayName(field, frame, data),
      ...worded(field.display!(last(field))),
      custom: field.config.custom ?? {},
      links: (field.config.links ?? []).map((link) => link.url),
    }));
}

function last(field: Field): unknown {
  return field.values[field.values.length - 1];
}

function worded(value: DisplayValue): object {
  return { text: formattedValueToString(value), color: value.color };
}

async function main(): Promise<void> {
  register();
  const boards: Answered[] = JSON.parse(readFileSync(0, 'utf8'));
  const all = boards.map(async (answered) => ({
    panels: await Promise.all(
      answered.board.panels.filter((p): p is Panel => p.type !== 'row' && p.type !== 'text').map((p) => shown(answered, p))
    ),
    marks: markedEvents(answered).map(({ title, text, time, timeEnd }) => ({ title, text, time, timeEnd })),
  }));
  process.stdout.write(JSON.stringify(await Promise.all(all)));
}

void main();
