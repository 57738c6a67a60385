import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { Server } from './server.js';

/** An answer of the HTTP API. */
export interface Answer {
  status: number;
  body: any;
}

/** Posts JSON, as a client that is no browser. */
export async function post(server: Server, call: string, body: unknown): Promise<Answer> {
  const answer = await fetch(`${server.url}/api/${call}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

/** A fresh public key in the API's form. */
export function publicKey(): string {
  const { x, y } = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' });
  const point = [Buffer.of(4), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')];
  return Buffer.concat(point).toString('base64url');
}

/** Makes a mailbox and an invite to it with a card of random bytes, which the server cannot read anyway. */
export async function makeInvite(server: Server, ttlSeconds = 3600): Promise<string> {
  const registered = await post(server, 'register_sim', { reader_key: publicKey() });
  if (registered.status !== 200) throw new Error(JSON.stringify(registered));
  const shared = await post(server, 'share_contact', {
    address_token: registered.body.address_token,
    card: randomBytes(1024).toString('base64url'),
    ttl_seconds: ttlSeconds,
  });
  if (shared.status !== 200) throw new Error(JSON.stringify(shared));
  return shared.body.invite;
}

/** Claims an invite. */
export function claim(server: Server, invite: string, key = publicKey()): Promise<Answer> {
  return post(server, 'import_contact', { invite, claim_key: key });
}

/** The invite inside a link: everything but the secret and the checksum. */
export function inviteOf(link: string): string {
  const fragment = new URL(link).hash.slice(1);
  return fragment.slice(0, fragment.lastIndexOf('.'));
}

/** When an invite ends, in milliseconds. */
export function expiryOf(link: string): number {
  const claims = inviteOf(link).split('.')[1]!;
  return JSON.parse(Buffer.from(claims, 'base64url').toString()).exp * 1000;
}
