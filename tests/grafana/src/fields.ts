// The settings of fields that Grafana's panels of our kinds have: without a panel's own, overrides of
// them are ignored, as in Grafana. Its registry of standard settings is not in any package.
import {
  FieldConfigOptionsRegistry,
  booleanOverrideProcessor,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
  type FieldConfigPropertyItem,
  type FieldOverrideContext,
} from '@grafana/data';

type Process = (value: never, context: FieldOverrideContext, settings: never) => unknown;

const STANDARD: Record<string, Process> = {
  color: identityOverrideProcessor,
  decimals: numberOverrideProcessor as Process,
  description: stringOverrideProcessor as Process,
  displayName: displayNameOverrideProcessor as Process,
  links: dataLinksOverrideProcessor as Process,
  mappings: valueMappingsOverrideProcessor as Process,
  max: numberOverrideProcessor as Process,
  min: numberOverrideProcessor as Process,
  noValue: stringOverrideProcessor as Process,
  thresholds: thresholdsOverrideProcessor as Process,
  unit: unitOverrideProcessor as Process,
  filterable: booleanOverrideProcessor as Process,
};

const CUSTOM: Record<string, string[]> = {
  table: ['align', 'cellOptions', 'filterable', 'hidden', 'inspect', 'minWidth', 'width'],
  timeseries: [
    ...['axisSoftMin', 'drawStyle', 'fillOpacity', 'hideFrom', 'lineInterpolation', 'lineStyle', 'lineWidth'],
    ...['showPoints', 'stacking', 'thresholdsStyle'],
  ],
  'state-timeline': ['fillOpacity', 'hideFrom', 'lineWidth'],
};

function property(id: string, process: Process, isCustom: boolean): FieldConfigPropertyItem {
  return {
    id: isCustom ? `custom.${id}` : id,
    path: id,
    name: id,
    isCustom,
    process,
    shouldApply: () => true,
    editor: () => null,
    override: () => null,
  } as unknown as FieldConfigPropertyItem;
}

const standard = Object.entries(STANDARD).map(([id, process]) => property(id, process, false));

/** What can be set of the fields of a kind of panel. */
export function fieldRegistry(panel: string): FieldConfigOptionsRegistry {
  const own = (CUSTOM[panel] ?? []).map((id) => property(id, identityOverrideProcessor, true));
  return new FieldConfigOptionsRegistry(() => [...standard, ...own]);
}

/** What Grafana's application registers when it starts. */
export function register(): void {
  standardFieldConfigEditorRegistry.setInit(() => standard);
  const { mergeTransformer, organizeFieldsTransformer, sortByTransformer } = standardTransformers;
  standardTransformersRegistry.setInit(() =>
    [mergeTransformer, organizeFieldsTransformer, sortByTransformer].map(
      (transformation) => ({ id: transformation.id, name: transformation.name, transformation }) as never
    )
  );
}
