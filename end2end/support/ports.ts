import { once } from 'node:events';
import { createServer } from 'node:net';

const FIRST = 10_000;
/** Below the ports that systems give to outgoing connections: one of those could take a port again before a server has it. */
const LAST = 32_000;

let last = FIRST + Math.floor(Math.random() * (LAST - FIRST));

/** Ports on loopback that nobody listens on. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    last = last === LAST ? FIRST : last + 1;
    if (await isFree(last)) ports.push(last);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const listener = createServer().listen(port, '127.0.0.1');
  try {
    await once(listener, 'listening');
  } catch {
    return false;
  }
  await new Promise((done) => listener.close(done));
  return true;
}
