import { devices } from '@playwright/test';
import { test as base, expect } from './fixtures.js';
import type { Profile } from './profile.js';
import { FRAME, STEPPING, Wire } from './wire.js';

interface Fixtures {
  /** More environment for `server`. */
  environment: Record<string, string>;
  /** What lies between all browsers and `server`. */
  wire: Wire;
  /** A browser whose steps of storing and sending the wire can stop. */
  stepping: (name: string) => Promise<Profile>;
}

/** As `test` of the fixtures, with everything between browsers and server passing the wire. */
export const test = base.extend<Fixtures>({
  wire: async ({}, use) => {
    const wire = await Wire.start();
    await use(wire);
    await wire.stop();
  },

  environment: [{}, { option: true }],

  server: async ({ wire, startServer, environment }, use) => {
    const server = await startServer({ ...environment, RLY_PUBLIC_URL: wire.url });
    wire.to(server.port);
    await use(server);
  },

  stepping: async ({ profile }, use) => {
    await use((name) => profile(name, { userAgent: `${devices['Desktop Chrome'].userAgent} ${STEPPING}` }));
  },
});

/** One envelope, as it went to the server. */
interface Envelope {
  id: string;
  address: string;
  body: Buffer;
}

/**
 * No envelope id stands for two texts, and no key seals two texts with one nonce: not in envelopes
 * (sealed with the address's outer key), not in vault slots (sealed with the vault's key).
 */
export function expectNothingUsedTwice(wire: Wire): void {
  const byId = new Map<string, string>();
  const byNonce = new Map<string, string>();
  const once = (seen: Map<string, string>, key: string, value: string, what: string) => {
    expect(seen.get(key) ?? value, what).toBe(value);
    seen.set(key, value);
  };
  const sealed = (key: string, body: Buffer) => {
    // Version, nonce, ciphertext: docs/protocol.md, section 3.
    const nonce = body.subarray(1, 13).toString('hex');
    once(byNonce, `${key} ${nonce}`, body.toString('base64'), 'a nonce was used twice');
  };
  for (const { id, address, body } of envelopes(wire)) {
    once(byId, id, `${address} ${body.toString('base64')}`, `envelope ${id} was sent with two contents`);
    sealed(address, body);
  }
  for (const { queue, blobs } of vaultWrites(wire)) for (const blob of blobs) sealed(queue, blob);
  expect(byNonce.size).toBeGreaterThan(0);
}

function envelopes(wire: Wire): Envelope[] {
  return wire.sent
    .filter((frame) => frame[1] === FRAME.send)
    .map((frame) => ({
      address: frame.subarray(6, 22).toString('hex'),
      id: frame.subarray(22, 38).toString('hex'),
      body: frame.subarray(42),
    }));
}

function vaultWrites(wire: Wire): { queue: string; blobs: Buffer[] }[] {
  return wire.sent
    .filter((frame) => frame[1] === FRAME.vaultWrite)
    .map((frame) => {
      const blobs: Buffer[] = [];
      let at = 32;
      for (let left = frame.readUInt16BE(30); left > 0; left -= 1) {
        const length = frame.readUInt32BE(at + 4);
        // An empty one deletes the slot.
        if (length > 0) blobs.push(frame.subarray(at + 8, at + 8 + length));
        at += 8 + length;
      }
      return { queue: frame.subarray(6, 22).toString('hex'), blobs };
    });
}

export { expect };
