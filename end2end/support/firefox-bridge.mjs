#!/usr/bin/env node
// Starts Firefox, and stands between it and Playwright for one reason: Playwright sets the look of every
// page by a command that Debian's long-supported Firefox does not know yet, and takes the answer for a
// failure to start. Such commands are answered here; all else passes as it is. Not needed any more once
// `emulation.setMediaFeaturesOverride` is in firefox-esr.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { WebSocket, WebSocketServer } from 'ws';

const LISTENING = /^WebDriver BiDi listening on (ws:\/\/\S+)/;

const firefox = spawn(process.env.RLY_TEST_FIREFOX ?? 'firefox-esr', process.argv.slice(2), {
  stdio: ['ignore', 'inherit', 'pipe'],
});
firefox.on('error', (error) => {
  console.error(error.message);
  process.exit(1);
});
firefox.on('exit', (code) => process.exit(code ?? 1));
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => firefox.kill(signal));
createInterface({ input: firefox.stderr }).on('line', (line) => {
  const address = LISTENING.exec(line)?.[1];
  if (address === undefined) console.error(line);
  else serve(address);
});

/** Says where the bridge listens, in Firefox's words. */
function serve(address) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('listening', () => {
    console.error(`WebDriver BiDi listening on ws://127.0.0.1:${server.address().port}`);
  });
  server.on('connection', (driver) => join(driver, new WebSocket(`${address}/session`, { perMessageDeflate: false })));
}

function join(driver, browser) {
  const early = [];
  const looks = new Set();
  driver.on('message', (data) => {
    const text = data.toString();
    const { id, method } = JSON.parse(text);
    if (method.startsWith('emulation.')) looks.add(id);
    if (browser.readyState === WebSocket.OPEN) browser.send(text);
    else early.push(text);
  });
  browser.on('open', () => {
    for (const text of early.splice(0)) browser.send(text);
  });
  browser.on('message', (data) => {
    const text = data.toString();
    const { id, error } = JSON.parse(text);
    const unknown = looks.delete(id) && error === 'unknown command';
    driver.send(unknown ? JSON.stringify({ type: 'success', id, result: {} }) : text);
  });
  browser.on('close', () => driver.close());
  driver.on('close', () => browser.close());
  // What goes wrong closes the other side too.
  browser.on('error', () => driver.terminate());
  driver.on('error', () => browser.terminate());
}
