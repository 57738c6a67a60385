import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

const PAGE = `<!doctype html>
<title>Echo</title>
<main>Ready</main>
<script>
  const socket = new WebSocket(location.href.replace('http', 'ws'));
  socket.onmessage = (event) => {
    const article = document.createElement('article');
    article.textContent = event.data;
    document.querySelector('main').append(article);
  };
  addEventListener('keydown', (event) => {
    if (event.key === 'Enter') socket.send(String((globalThis.turn = (globalThis.turn ?? 0) + 1)));
  });
</script>`;

/** The least that can be done: a page with nothing in it, and a server that passes on what one tab says. */
export class Echo {
  private constructor(
    readonly url: string,
    readonly close: () => void,
  ) {}

  static async start(): Promise<Echo> {
    const http = createServer((_, answer) => answer.setHeader('content-type', 'text/html').end(PAGE));
    const sockets = new WebSocketServer({ server: http });
    sockets.on('connection', (from) => {
      from.on('message', (data) => {
        for (const to of sockets.clients) if (to !== from) to.send(data.toString());
      });
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    const { port } = http.address() as AddressInfo;
    return new Echo(`http://127.0.0.1:${port}/`, () => {
      for (const client of sockets.clients) client.terminate();
      http.close();
    });
  }
}
