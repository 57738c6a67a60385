import { type Browser, type BrowserContextOptions, test as base, chromium, expect } from '@playwright/test';
import { inChromium } from './browsers.js';
import { Person } from './person.js';
import { Profile } from './profile.js';
import { Server } from './server.js';
import { Watch } from './watch.js';

interface Fixtures {
  /** A server of this test's own. */
  server: Server;
  /** Starts another one. */
  startServer: (env?: Record<string, string>) => Promise<Server>;
  /** Somebody with a browser of their own, on `server` or another. */
  person: (name: string, options?: PersonOptions) => Promise<Person>;
  /** A browser that can be killed, with a profile on the disk. */
  profile: (name: string, options?: ProfileOptions) => Promise<Profile>;
  /** Somebody in Chromium, whatever the browser of the others is. */
  chromiumPerson: (name: string) => Promise<Person>;
  /** Somebody whose browser refuses to store anything ("block all cookies"). */
  refusedPerson: (name: string) => Promise<Person>;
  alice: Person;
  bob: Person;
  carol: Person;
}

interface PersonOptions extends BrowserContextOptions {
  on?: Server;
  /** Another browser than the test's own. */
  using?: Browser;
}

interface ProfileOptions extends BrowserContextOptions {
  preferences?: object;
}

export const test = base.extend<Fixtures>({
  startServer: async ({}, use, info) => {
    const servers: Server[] = [];
    await use(async (env) => {
      const server = await Server.start(env);
      servers.push(server);
      return server;
    });
    if (info.status !== info.expectedStatus) {
      for (const server of servers) await info.attach('server log', { body: server.output });
    }
    await Promise.all(servers.map((server) => server.remove()));
  },

  server: async ({ startServer }, use) => use(await startServer()),

  person: async ({ browser, server, contextOptions }, use) => {
    const people: Person[] = [];
    await use(async (name, { on = server, using = browser, ...options } = {}) => {
      const context = await using.newContext({ ...contextOptions, baseURL: on.url, ...options });
      const watch = new Watch();
      await watch.attach(context);
      const person = new Person(name, on, context, watch, await context.newPage());
      people.push(person);
      return person;
    });
    await Promise.all(people.map((person) => person.context.close()));
    expectQuiet(people);
  },

  chromiumPerson: async ({ person }, use) => {
    const using = await chromium.launch(inChromium);
    await use((name) => person(name, { using }));
    await using.close();
  },

  profile: async ({ server, launchOptions, contextOptions }, use) => {
    const profiles: Profile[] = [];
    await use(async (name, { preferences, ...options } = {}) => {
      const profile = await Profile.make(name, server, { ...launchOptions, ...contextOptions, ...options }, preferences);
      profiles.push(profile);
      return profile;
    });
    await Promise.all(profiles.map((profile) => profile.remove()));
    expectQuiet(profiles.flatMap(({ name, watches }) => watches.map((watch) => ({ name, watch }))));
  },

  refusedPerson: async ({ profile }, use) => {
    await use(async (name) => {
      // Only a profile's preferences refuse storage everywhere, workers included, as the person's own setting does.
      const preferences = { profile: { default_content_setting_values: { cookies: 2 } } };
      return (await profile(name, { preferences })).start();
    });
  },

  alice: async ({ person }, use) => use(await person('Alice')),
  bob: async ({ person }, use) => use(await person('Bob')),
  carol: async ({ person }, use) => use(await person('Carol')),
});

function expectQuiet(people: { name: string; watch: Watch }[]): void {
  const problems = people.flatMap(({ name, watch }) => watch.problems.map((problem) => `${name}: ${problem}`));
  expect(problems, 'console errors, uncaught errors and CSP reports').toEqual([]);
}

/** Alice writes, Bob opens and answers: both are in their conversation. */
export async function meet(alice: Person, bob: Person): Promise<void> {
  const link = await alice.writeLetter(`a letter from ${alice.name}`);
  await bob.openLink(link);
  await bob.reply(`a reply from ${bob.name}`);
  await alice.openConversation(bob.name);
  await alice.hears(`a reply from ${bob.name}`);
}

export { expect };
