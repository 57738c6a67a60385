import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { freePorts } from './ports.js';

const START_TIMEOUT = 20_000;
/** Under this name WebDriver hands out elements. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

/** An element on a page, as WebDriver names it. */
export type Element = Record<typeof ELEMENT, string>;

/** What WebDriver says went wrong. */
export class WebDriverError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(`${code}: ${message}`);
  }
}

/**
 * One WebKitGTK with nothing in it yet, on a screen that nobody sees, driven by WebDriver as its makers
 * ship it: https://www.w3.org/TR/webdriver2/.
 */
export class WebKit {
  #window: string | undefined;
  /** A command is for the window that was switched to, so windows take turns. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly processes: ChildProcess[],
    readonly url: string,
    readonly session: string,
  ) {}

  static async start(): Promise<WebKit> {
    const processes: ChildProcess[] = [];
    try {
      const screen = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x900x24', '-nolisten', 'tcp'], {
        stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      });
      processes.push(screen);
      const display = await firstLine(screen);
      const [port = 0] = await freePorts(1);
      const driver = spawn('WebKitWebDriver', [`--port=${port}`], {
        env: {
          PATH: process.env.PATH ?? '',
          HOME: process.env.HOME ?? '/',
          TZ: 'UTC',
          LANG: 'C.UTF-8',
          DISPLAY: `:${display}`,
          GDK_BACKEND: 'x11',
          // There is no graphics card, and no bus for assistive technology.
          LIBGL_ALWAYS_SOFTWARE: '1',
          WEBKIT_DISABLE_DMABUF_RENDERER: '1',
          NO_AT_BRIDGE: '1',
        },
        stdio: 'ignore',
      });
      processes.push(driver);
      const url = `http://127.0.0.1:${port}`;
      await reachable(url, driver);
      const made = await call(url, 'POST', '/session', {
        capabilities: { alwaysMatch: { browserName: 'MiniBrowser' } },
      });
      return new WebKit(processes, url, (made as { sessionId: string }).sessionId);
    } catch (error) {
      await end(processes);
      throw error;
    }
  }

  /** Ends the browser and all that belongs to it. */
  async stop(): Promise<void> {
    await call(this.url, 'DELETE', `/session/${this.session}`).catch(() => undefined);
    await end(this.processes);
  }

  /** The window that a new session has. */
  async firstWindow(): Promise<Window> {
    return new Window(this, (await this.command('GET', '/window')) as string);
  }

  async newWindow(): Promise<Window> {
    const made = await this.command('POST', '/window/new', { type: 'window' });
    return new Window(this, (made as { handle: string }).handle);
  }

  /** Says something to a window, when those before have been answered. */
  say(window: string, method: string, path: string, body?: unknown): Promise<unknown> {
    return this.#next(async () => {
      if (this.#window !== window) await this.#call('POST', '/window', { handle: window });
      this.#window = window;
      return this.#call(method, path, body);
    });
  }

  command(method: string, path: string, body?: unknown): Promise<unknown> {
    return this.#next(() => this.#call(method, path, body));
  }

  #next<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #call(method: string, path: string, body?: unknown): Promise<unknown> {
    return call(this.url, method, `/session/${this.session}${path}`, body);
  }
}

/** One window of a browser. */
export class Window {
  constructor(
    readonly browser: WebKit,
    readonly handle: string,
  ) {}

  async goto(url: string): Promise<void> {
    await this.#say('POST', '/url', { url });
  }

  async reload(): Promise<void> {
    await this.#say('POST', '/refresh', {});
  }

  /** To the page before this one, as the button does it. */
  async back(): Promise<void> {
    await this.#say('POST', '/back', {});
  }

  async url(): Promise<string> {
    return (await this.#say('GET', '/url')) as string;
  }

  /** Runs a function's body in the page, and gives what it returns. */
  run(body: string, ...args: unknown[]): Promise<unknown> {
    return this.#say('POST', '/execute/sync', { script: body, args });
  }

  /** The elements that assistive technology gets under this role, and this name if one is asked for. */
  async find(role: string, name?: string): Promise<Element[]> {
    const candidates = (await this.#say('POST', '/elements', {
      using: 'css selector',
      value: SELECTORS[role] ?? `[role="${role}"]`,
    })) as Element[];
    const found: Element[] = [];
    for (const element of candidates) {
      const path = pathOf(element);
      if ((await this.#say('GET', `${path}/computedrole`)) !== role) continue;
      if (name !== undefined && (await this.#say('GET', `${path}/computedlabel`)) !== name) continue;
      found.push(element);
    }
    return found;
  }

  async click(element: Element): Promise<void> {
    await this.#say('POST', `${pathOf(element)}/click`, {});
  }

  /** Types over what is in a box, key by key. */
  async fill(element: Element, text: string): Promise<void> {
    await this.#say('POST', `${pathOf(element)}/clear`, {});
    await this.#say('POST', `${pathOf(element)}/value`, { text });
  }

  #say(method: string, path: string, body?: unknown): Promise<unknown> {
    return this.browser.say(this.handle, method, path, body);
  }
}

/** Where elements of a role may be found. */
const SELECTORS: Record<string, string> = {
  article: 'article',
  button: 'button',
  link: 'a[href]',
  textbox: 'input, textarea',
};

function pathOf(element: Element): string {
  return `/element/${element[ELEMENT]}`;
}

async function call(url: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const answer = await fetch(url + path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const { value } = (await answer.json()) as { value: any };
  if (!answer.ok) throw new WebDriverError(value.error, value.message);
  return value;
}

async function reachable(url: string, driver: ChildProcess): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT;
  while (driver.exitCode === null && Date.now() < deadline) {
    const up = await fetch(`${url}/status`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (up) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error('WebKitWebDriver did not start');
}

async function firstLine(screen: ChildProcess): Promise<string> {
  const ended = once(screen, 'exit').then(() => {
    throw new Error('Xvfb did not start');
  });
  const [line] = await Promise.race([once(screen.stdio[3] as Readable, 'data'), ended]);
  return String(line).trim();
}

/** The last one that was started goes first. */
async function end(processes: ChildProcess[]): Promise<void> {
  for (const child of processes.toReversed()) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}
