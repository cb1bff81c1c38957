declare module '*.css';

// A module inside of a package, which publishes no types for it.
declare module '*/result_transformer.mjs' {
  import type { DataFrame, DataQueryRequest } from '@grafana/data';
  import type { PromQuery } from '@grafana/prometheus';

  export function transformV2(
    response: { data: DataFrame[] },
    request: DataQueryRequest<PromQuery>,
    options: object
  ): { data: DataFrame[] };
}
