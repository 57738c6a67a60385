import { cp, mkdir, mkdtemp, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type BrowserContext, type BrowserContextOptions, type LaunchOptions, chromium } from '@playwright/test';
import { Person } from './person.js';
import type { Server } from './server.js';
import { Watch } from './watch.js';

/**
 * A browser of its own process with a profile on the disk: it can be killed, started again, and an
 * old copy of the profile can be put back.
 */
export class Profile {
  /** Everything that the browser kept. */
  readonly folder: string;
  readonly watches: Watch[] = [];
  readonly #home: string;
  #context: BrowserContext | undefined;
  #person: Person | undefined;

  private constructor(
    readonly name: string,
    readonly server: Server,
    home: string,
    readonly options: LaunchOptions & BrowserContextOptions,
  ) {
    this.#home = home;
    this.folder = path.join(home, 'profile');
  }

  /** An empty one; `preferences` are the person's own settings. */
  static async make(
    name: string,
    server: Server,
    options: LaunchOptions & BrowserContextOptions,
    preferences?: object,
  ): Promise<Profile> {
    const profile = new Profile(name, server, await mkdtemp(path.join(tmpdir(), 'rly-e2e-profile-')), options);
    if (preferences) {
      await mkdir(path.join(profile.folder, 'Default'), { recursive: true });
      await writeFile(path.join(profile.folder, 'Default/Preferences'), JSON.stringify(preferences));
    }
    return profile;
  }

  /** Starts the browser. */
  async start(): Promise<Person> {
    const context = await chromium.launchPersistentContext(this.folder, {
      ...this.options,
      baseURL: this.server.url,
      // For what workers ask for, too.
      ...(this.options.userAgent
        ? { args: [...(this.options.args ?? []), `--user-agent=${this.options.userAgent}`] }
        : {}),
    });
    this.#context = context;
    const watch = new Watch();
    // A server that comes and goes is nothing new to somebody whose browser does.
    watch.expectOutage();
    this.watches.push(watch);
    await watch.attach(context);
    const page = context.pages()[0] ?? (await context.newPage());
    this.#person = new Person(this.name, this.server, context, watch, page);
    return this.#person;
  }

  /** Who sits in front of it, since it was last started. */
  get person(): Person {
    if (!this.#person) throw new Error(`the browser of ${this.name} was never started`);
    return this.#person;
  }

  /** Kills all its processes at once. */
  async kill(): Promise<void> {
    const context = this.#context;
    if (!context) return;
    this.#context = undefined;
    this.watches.at(-1)!.end();
    // Chromium's lock on the profile names the process, which leads its group.
    const lock = await readlink(path.join(this.folder, 'SingletonLock'));
    const closed = new Promise((resolve) => context.once('close', resolve));
    const group = -Number(lock.split('-').at(-1));
    process.kill(group, 'SIGKILL');
    await closed;
    // The next one finds the profile locked as long as one of them is still there.
    for (let tries = 0; tries < 100 && alive(group); tries += 1) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** Closes it as a person does. */
  async close(): Promise<void> {
    await this.#context?.close();
    this.#context = undefined;
  }

  /** Copies what is on the disk, for [`putBack`]. */
  async copy(): Promise<string> {
    const copy = await mkdtemp(path.join(this.#home, 'copy-'));
    await cp(this.folder, copy, { recursive: true, verbatimSymlinks: true });
    return copy;
  }

  /** Makes a copy the profile again. */
  async putBack(copy: string): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
    await cp(copy, this.folder, { recursive: true, verbatimSymlinks: true });
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.#home, { recursive: true, force: true, maxRetries: 3 });
  }
}

function alive(group: number): boolean {
  try {
    return process.kill(group, 0);
  } catch {
    return false;
  }
}
