// Two nodes behind a load balancer, on the PostgreSQL and Kafka that `./test cluster` has started, in
// place of one server: RLY_TEST_RELAY=cluster.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import path from 'node:path';

/** Whether servers are clusters. */
export const CLUSTER = process.env.RLY_TEST_RELAY === 'cluster';
/** Where the data of PostgreSQL and Kafka are. */
export const BACKENDS = process.env.RLY_TEST_BACKENDS ?? '';

/** A new database in place of the one with this address, or of none. */
export function freshDatabase(url: string): void {
  const end = url.lastIndexOf('/');
  const name = url.slice(end + 1);
  const sql = [`DROP DATABASE IF EXISTS ${name}`, `CREATE DATABASE ${name}`];
  const server = process.env.RLY_TEST_POSTGRES ?? '';
  // Without its notice that there was none.
  const env = { ...process.env, PGOPTIONS: '-c client_min_messages=warning' };
  execFileSync('psql', ['--quiet', '--no-psqlrc', server, ...sql.flatMap((text) => ['--command', text])], { env });
}

/** The options that the nodes of one new cluster share: a fresh database, fresh topics, one key. */
export function clusterOptions(data: string, url: string): Record<string, string> {
  const { RLY_TEST_POSTGRES: postgres, RLY_TEST_KAFKA: kafka } = process.env;
  if (!postgres || !kafka) throw new Error('./test cluster sets RLY_TEST_POSTGRES and RLY_TEST_KAFKA');
  const name = `t${randomBytes(8).toString('hex')}`;
  const database = `${postgres.slice(0, postgres.lastIndexOf('/'))}/${name}`;
  freshDatabase(database);
  const key = path.join(data, 'cluster.key');
  writeFileSync(key, randomBytes(32), { mode: 0o600 });
  return {
    RLY_PUBLIC_URL: url,
    RLY_DATABASE_URL: database,
    RLY_KAFKA_BROKERS: kafka,
    RLY_KAFKA_PREFIX: name,
    RLY_KAFKA_PARTITIONS: '4',
    RLY_KEY_FILE: key,
  };
}

/** Gives connections to nodes in turn, and websockets in a turn of their own: two people are on two nodes. */
export class Balancer {
  readonly #server = createServer({ noDelay: true }, (socket) => this.#take(socket));
  readonly #open = new Set<Socket>();
  #requests = 0;
  #sockets = 0;

  constructor(readonly nodes: number[]) {}

  async listen(port: number): Promise<void> {
    await new Promise<void>((done, failed) => {
      this.#server.once('error', failed);
      this.#server.listen(port, '127.0.0.1', done);
    });
  }

  async close(): Promise<void> {
    const closed = new Promise((done) => this.#server.close(done));
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #take(client: Socket): void {
    this.#open.add(client);
    client.on('close', () => this.#open.delete(client));
    client.on('error', () => client.destroy());
    client.once('data', (first) => {
      client.pause();
      const upgrades = /^GET \/ws /.test(first.toString('latin1', 0, 16));
      const turn = upgrades ? this.#sockets++ : this.#requests++;
      const node = connect({ port: this.nodes[turn % this.nodes.length]!, host: '127.0.0.1', noDelay: true });
      node.on('error', () => client.destroy());
      node.on('close', () => client.destroy());
      client.on('close', () => node.destroy());
      node.write(first);
      node.pipe(client);
      client.pipe(node);
    });
  }
}
