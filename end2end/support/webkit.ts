import { expect } from '@playwright/test';
import type { Correspondent } from './journey.js';
import type { Line } from './person.js';
import type { Server } from './server.js';
import { type Element, WebDriverError, WebKit, type Window } from './webdriver.js';

const patience = { timeout: 15_000, intervals: [20, 50, 100] };

/** What has gone wrong in the page since it was ready; the driver itself tells nothing. */
const WATCH = `
  if (globalThis.problems) return;
  globalThis.problems = [];
  const note = (text) => problems.push(text);
  // How often it was shown again.
  globalThis.shown = 0;
  addEventListener('pageshow', () => { globalThis.shown += 1; });
  addEventListener('error', (event) => note('uncaught: ' + event.message));
  addEventListener('unhandledrejection', (event) => note('unhandled: ' + event.reason));
  addEventListener('securitypolicyviolation', (event) => note('CSP: ' + event.violatedDirective + ' ' + event.blockedURI));
  const { error } = console;
  console.error = (...words) => { note('console: ' + words.join(' ')); error(...words); };
`;

/**
 * Somebody with a WebKitGTK of their own. The same roles and names as in `Person`, which Playwright
 * drives; only how they are found differs.
 */
export class WebKitPerson implements Correspondent {
  private constructor(
    readonly name: string,
    readonly server: Server,
    readonly browser: WebKit,
    readonly window: Window,
    readonly problems: string[],
  ) {}

  static async arrive(name: string, server: Server): Promise<WebKitPerson> {
    const browser = await WebKit.start();
    return new WebKitPerson(name, server, browser, await browser.firstWindow(), []);
  }

  /** Closes the browser; what went wrong in it. */
  async leave(): Promise<string[]> {
    await this.#collect();
    await this.browser.stop();
    return this.problems;
  }

  async secondTab(): Promise<WebKitPerson> {
    const tab = new WebKitPerson(this.name, this.server, this.browser, await this.browser.newWindow(), this.problems);
    await tab.#goto(await this.window.url());
    return tab;
  }

  async reload(): Promise<void> {
    await this.#collect();
    await this.window.reload();
    await this.#ready();
  }

  /** Leaves the page for another one of the server. */
  async leaveFor(path: string): Promise<void> {
    await this.#goto(`${this.server.url}${path}`);
  }

  /** Goes back to the page before; whether the browser had kept it as it was. */
  async back(): Promise<boolean> {
    await this.#collect();
    await this.window.back();
    await this.#ready();
    return (await this.window.run('return globalThis.shown > 0')) as boolean;
  }

  /** Types without sending. */
  async begin(text: string): Promise<void> {
    await this.#fill('Message', text);
  }

  /** Finds what was begun and not sent. */
  async finds(text: string): Promise<void> {
    const box = await this.#one('textbox', 'Message');
    await expect.poll(() => this.window.run('return arguments[0].value', box), patience).toBe(text);
  }

  async writeLetter(text: string): Promise<string> {
    await this.#goto(`${this.server.url}/letter`);
    await this.#fill('Letter', text);
    await this.#fillName();
    await this.#press('Create link');
    const box = await this.#one('textbox', 'Invite link');
    const link = () => this.window.run('return arguments[0].value', box);
    await expect.poll(link, patience).toMatch(/\/i#./);
    return (await link()) as string;
  }

  async openLink(link: string): Promise<void> {
    await this.#goto(link);
    await this.#press('Open');
    await this.#one('article', 'Letter');
  }

  async reads(text: string): Promise<void> {
    await this.#sees('article[aria-label="Letter"]', text);
  }

  async reply(text: string): Promise<void> {
    await this.#fill('Reply', text);
    await this.#fillName();
    await this.#press('Send reply');
    await this.#inConversation();
    await this.#seesMessage(text, true);
  }

  async openConversation(name: string): Promise<void> {
    if (new URL(await this.window.url()).pathname !== '/chat') await this.#goto(`${this.server.url}/chat`);
    await this.window.click(await this.#one('link', name));
    await this.#inConversation();
    await this.#sees('.conversation h2', name);
  }

  async say(text: string): Promise<void> {
    await this.#fill('Message', text);
    await this.#press('Send');
    await this.#seesMessage(text, true);
  }

  async hears(text: string): Promise<void> {
    await this.#seesMessage(text, false);
  }

  async expectConversation(lines: Line[]): Promise<void> {
    await expect.poll(() => this.#transcript(), patience).toEqual(lines);
  }

  async expectAllDelivered(): Promise<void> {
    const waiting = `return document.querySelectorAll('article[data-own="true"]:not([data-state="delivered"])').length`;
    await expect.poll(() => this.window.run(waiting), patience).toBe(0);
  }

  async #goto(url: string): Promise<void> {
    await this.#collect();
    await this.window.goto(url);
    await this.#ready();
  }

  async #ready(): Promise<void> {
    const hydrated = `return document.documentElement.dataset.hydrated`;
    await expect.poll(() => this.window.run(hydrated), patience).toBe('true');
    await this.window.run(WATCH);
  }

  /** Before a page goes: what was noticed in it. */
  async #collect(): Promise<void> {
    const noticed = await this.window.run('return globalThis.problems ?? []');
    this.problems.push(...(noticed as string[]).map((problem) => `${this.name}: ${problem}`));
  }

  /** The one element of this role and name, as soon as it is there. */
  async #one(role: string, name: string): Promise<Element> {
    let found: Element[] = [];
    const count = async () => {
      found = await this.#find(role, name);
      return found.length;
    };
    await expect.poll(count, { ...patience, message: `${role} "${name}"` }).toBe(1);
    return found[0]!;
  }

  async #find(role: string, name: string): Promise<Element[]> {
    try {
      return await this.window.find(role, name);
    } catch (error) {
      // It was there a moment ago: look again.
      if (error instanceof WebDriverError && /stale|no such element/.test(error.code)) return [];
      throw error;
    }
  }

  async #fill(name: string, text: string): Promise<void> {
    await this.window.fill(await this.#one('textbox', name), text);
  }

  async #fillName(): Promise<void> {
    const [box] = await this.#find('textbox', 'Your name');
    if (box) await this.window.fill(box, this.name);
  }

  /** Presses a button once it can be pressed. */
  async #press(name: string): Promise<void> {
    const button = await this.#one('button', name);
    await expect.poll(() => this.window.run('return arguments[0].disabled', button), patience).toBe(false);
    await this.window.click(button);
  }

  async #inConversation(): Promise<void> {
    await expect.poll(() => this.window.url(), patience).toMatch(/\/chat#./);
    await this.#one('log', 'Messages');
  }

  async #sees(selector: string, text: string): Promise<void> {
    const words = `return document.querySelector(arguments[0])?.textContent ?? ''`;
    await expect.poll(() => this.window.run(words, selector), patience).toContain(text);
  }

  async #seesMessage(text: string, own: boolean): Promise<void> {
    await expect.poll(() => this.#transcript(), patience).toContainEqual({ own, text });
  }

  async #transcript(): Promise<Line[]> {
    return (await this.window.run(`
      return [...document.querySelectorAll('[role="log"][aria-label="Messages"] article')].map((article) => ({
        own: article.dataset.own === 'true',
        text: article.textContent,
      }));
    `)) as Line[];
  }
}
