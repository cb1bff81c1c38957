// Bundles a script of src/ with Grafana's packages: node bundle.mjs SCRIPT OUTPUT, for Node where the
// output is a .cjs, else for a browser.
import { build } from 'esbuild';

const [script, outfile] = process.argv.slice(2);
const isForNode = outfile.endsWith('.cjs');

// What Grafana's packages expect of a browser before they compute anything.
const BROWSER = `
globalThis.window = globalThis;
globalThis.location = { href: 'http://localhost/' };
globalThis.localStorage = { getItem: () => null };
globalThis.navigator = { language: 'en', languages: ['en'] };
`;

// @grafana/scenes names modules of @grafana/schema without their extension. For a browser, the others
// are taken as CommonJS: their .mjs import the defaults of React components in a way that is not Node's.
const grafana = {
  name: 'grafana',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^@grafana\/schema\/.*_types\.gen$/ }, ({ path, ...from }) => resolve(`${path}.js`, from));
    onResolve({ filter: /^@grafana\/(data|e2e-selectors|prometheus|runtime|schema|ui)$/ }, ({ path, kind, ...from }) =>
      !isForNode && kind === 'import-statement' ? resolve(path, { ...from, kind: 'require-call' }) : undefined
    );
  },
};

await build({
  entryPoints: [script],
  outfile,
  bundle: true,
  logLevel: 'error',
  plugins: [grafana],
  loader: { '.ttf': 'empty', '.svg': 'dataurl' },
  define: { 'process.env.NODE_ENV': '"production"' },
  ...(isForNode ? { platform: 'node', mainFields: ['module', 'main'], banner: { js: BROWSER } } : { minify: true }),
});
