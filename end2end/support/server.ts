import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { BACKENDS, Balancer, CLUSTER, clusterOptions, freshDatabase } from './cluster.js';
import { freePorts } from './ports.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The real binary, the one that people run. */
export const serverBinary = process.env.RLY_TEST_SERVER ?? path.join(root, 'target/release/rly-server');
/** The built pages that it serves. */
export const site = path.resolve(path.dirname(serverBinary), '../site');

const START_TIMEOUT = 20_000;

/** One running server with data of its own (or a cluster: see cluster.ts). Its ports stay the same over a restart. */
export class Server {
  #balancer: Balancer | undefined;

  private constructor(
    readonly port: number,
    readonly data: string,
    readonly env: Record<string, string>,
    readonly nodes: Node[],
  ) {}

  /** Starts a server on free ports with an empty data directory. */
  static async start(env: Record<string, string> = {}): Promise<Server> {
    const data = await mkdtemp(path.join(tmpdir(), 'rly-e2e-'));
    const [port, adminPort, ...more] = await freePorts(CLUSTER ? 5 : 2);
    let nodes = [new Node(port!, adminPort!, { RLY_DATA_DIR: data, ...env })];
    if (CLUSTER) {
      const options = { ...clusterOptions(data, `http://127.0.0.1:${port}`), ...env };
      nodes = [new Node(more[0]!, adminPort!, options), new Node(more[1]!, more[2]!, options)];
    }
    const server = new Server(port!, data, env, nodes);
    await server.run();
    return server;
  }

  /** The origin, as it is in links. */
  get url(): string {
    return this.env.RLY_PUBLIC_URL ?? `http://127.0.0.1:${this.port}`;
  }

  /** What it has logged so far. */
  get output(): string {
    return this.nodes.map((node) => node.output).join('');
  }

  /** Folders of everything that it keeps. */
  get stores(): string[] {
    return CLUSTER ? [this.data, BACKENDS] : [this.data];
  }

  /** Starts it and waits until it says that it is ready. */
  async run(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.run()));
    if (!CLUSTER) return;
    this.#balancer = new Balancer(this.nodes.map((node) => node.port));
    await this.#balancer.listen(this.port);
  }

  /** Stops it as the system would: SIGTERM, and it must end well. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    for (const node of this.nodes) {
      if (node.code !== 0) throw new Error(`the server ended with ${node.code}:\n${node.output}`);
    }
  }

  /** Ends it with no chance to say goodbye. */
  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Deletes what it knew of mailboxes, of a server that is stopped. Its keys stay. */
  async loseData(): Promise<void> {
    if (CLUSTER) return freshDatabase(this.nodes[0]!.env.RLY_DATABASE_URL!);
    for (const file of ['rly.sqlite', 'rly.sqlite-wal', 'rly.sqlite-shm']) {
      await rm(path.join(this.data, file), { force: true });
    }
  }

  /** Stops it, and deletes its data. */
  async remove(): Promise<void> {
    if (this.running) await this.stop();
    await rm(this.data, { recursive: true, force: true });
  }

  get running(): boolean {
    return this.nodes.some((node) => node.running);
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.end(signal)));
    // Nobody listens any more, as when there is no server.
    await this.#balancer?.close();
    this.#balancer = undefined;
  }
}

/** One process. */
class Node {
  #process: ChildProcess | undefined;
  output = '';
  code: number | null = 0;

  constructor(
    readonly port: number,
    readonly adminPort: number,
    readonly env: Record<string, string>,
  ) {}

  /** The process. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async run(): Promise<void> {
    const child = spawn(serverBinary, [], {
      cwd: root,
      env: {
        PATH: process.env.PATH ?? '',
        RUST_LOG: process.env.RUST_LOG ?? 'info',
        ...this.env,
        RLY_ADDR: `127.0.0.1:${this.port}`,
        RLY_ADMIN_ADDR: `127.0.0.1:${this.adminPort}`,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    const keep = (chunk: Buffer) => (this.output += chunk.toString());
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const ended = once(child, 'exit').then(() => 'ended' as const);
    const deadline = Date.now() + START_TIMEOUT;
    while (Date.now() < deadline) {
      const ready = fetch(`http://127.0.0.1:${this.adminPort}/health/ready`).then(
        (answer) => (answer.ok ? ('ready' as const) : ('not yet' as const)),
        () => 'not yet' as const,
      );
      const state = await Promise.race([ready, ended]);
      if (state === 'ready') return;
      if (state === 'ended') break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await this.end('SIGKILL');
    throw new Error(`the server did not start:\n${this.output}`);
  }

  get running(): boolean {
    const child = this.#process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (!child || !this.running) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    // A server that ignores SIGTERM must not outlive the tests.
    const last = setTimeout(() => child.kill('SIGKILL'), 15_000);
    await ended;
    clearTimeout(last);
    this.code = child.exitCode;
  }
}
