import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { site } from './server.js';

// Made by `rly-build-web --vectors` as what is served is made, but served by nobody else.
const built = path.resolve(site, '../web/vectors');
const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";

/** An empty page, and the module. On loopback, so that there is WebCrypto. */
export async function serveVectors(): Promise<{ url: string; close: () => void }> {
  if (!existsSync(built)) throw new Error(`${built} is missing: run ./test e2e, which builds it first`);
  const files: Record<string, [string, () => Promise<Buffer>]> = {
    '/': ['text/html', async () => Buffer.from('<!doctype html><title>vectors</title>')],
    '/vectors.js': ['text/javascript', () => readFile(path.join(built, 'vectors.js'))],
    '/vectors.wasm': ['application/wasm', () => readFile(path.join(built, 'vectors.wasm'))],
  };
  const server = createServer(async (request, response) => {
    const [type, body] = files[request.url ?? ''] ?? [];
    if (!type || !body) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': type, 'content-security-policy': CSP }).end(await body());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}/`, close: () => server.close() };
}
