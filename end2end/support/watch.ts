import type { BrowserContext } from '@playwright/test';

const LOAD = 'Failed to load resource';
const OUTAGE = /net::ERR_(CONNECTION_|INTERNET_DISCONNECTED|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED|NETWORK_CHANGED|ABORTED|FAILED|CONTENT_LENGTH_MISMATCH|INCOMPLETE_CHUNKED_ENCODING)/;

/**
 * Collects what no journey may cause: console errors, uncaught errors and CSP reports. Only
 * Chromium's "Failed to load resource" is let through, for what the journey announced.
 */
export class Watch {
  readonly problems: string[] = [];
  readonly #statuses = new Set<number>();
  readonly #console: RegExp[] = [];
  #outage = false;
  #ended = false;

  /** From now on the server may answer with this status. */
  expectStatus(...statuses: number[]): void {
    for (const status of statuses) this.#statuses.add(status);
  }

  /** From now on the server may be out of reach. */
  expectOutage(): void {
    this.#outage = true;
  }

  /** From now on Chromium may say this. */
  expectConsole(text: RegExp): void {
    this.#console.push(text);
  }

  /** The browser is about to be killed: what its parts say of that is no problem. */
  end(): void {
    this.#ended = true;
  }

  async attach(context: BrowserContext): Promise<void> {
    context.on('console', (message) => {
      const text = message.text();
      if (message.type() === 'error' && !this.#expected(text)) {
        this.#problem(`console: ${text} (${message.location().url})`);
      }
    });
    context.on('weberror', (error) => this.#problem(`uncaught: ${error.error().stack || error.error()}`));
    context.on('page', (page) => {
      page.on('crash', () => this.#problem('the page crashed'));
      page.on('worker', (worker) => {
        // Reports inside a worker reach no page. It may end before this gets there.
        worker.evaluate(reportViolations).catch(() => undefined);
      });
    });
    await context.addInitScript(reportViolations);
  }

  #problem(text: string): void {
    if (!this.#ended) this.problems.push(text);
  }

  #expected(text: string): boolean {
    if (this.#console.some((expected) => expected.test(text))) return true;
    if (!text.startsWith(LOAD)) return false;
    const status = /status of (\d{3})/.exec(text)?.[1];
    if (status !== undefined) return this.#statuses.has(Number(status));
    return this.#outage && OUTAGE.test(text);
  }
}

function reportViolations(): void {
  globalThis.addEventListener('securitypolicyviolation', (event) => {
    const report = event as SecurityPolicyViolationEvent;
    console.error(`CSP: ${report.violatedDirective} blocked ${report.blockedURI} (${report.sample})`);
  });
}
