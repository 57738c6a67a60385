import type { BrowserContext, Page } from '@playwright/test';

/** A moment, in milliseconds of the machine's clock, so that moments of two pages can be compared. */
export type Moment = number;

/** What is recorded inside a page. */
interface Recorder {
  /** Moments at which something first was on the screen, by name. */
  seen: Record<string, Moment>;
  /** When the person last clicked or pressed a key. */
  acted: Moment;
  /** Long tasks of the page's thread: when they began, and how long they took. */
  tasks: [Moment, number][];
  /** The longest time from a frame to the next, while frames are watched. */
  longestFrame: number | undefined;
  /** Waits for what a selector finds, and notes when it was drawn. */
  watch(name: string, selector: string, text?: string): void;
  /** As `watch`, and clicks it at once. */
  click(name: string, selector: string): void;
}

declare global {
  var recorder: Recorder;
}

/** Records in every page of this browser, from its first moment on. */
export async function record(context: BrowserContext): Promise<void> {
  await context.addInitScript(install);
}

/** The moment at which something was first seen. */
export function seen(page: Page, name: string): Promise<Moment> {
  return page.evaluate(
    (name) =>
      new Promise<Moment>((resolve) => {
        const look = () => {
          const moment = globalThis.recorder.seen[name];
          if (moment === undefined) setTimeout(look, 10);
          else resolve(moment);
        };
        look();
      }),
    name,
  );
}

/** When the person last clicked or pressed a key in a page. */
export function acted(page: Page): Promise<Moment> {
  return page.evaluate(() => globalThis.recorder.acted);
}

/** Long tasks of the page's thread so far, in milliseconds; those below 50 are not told. */
export async function longTasks(page: Page): Promise<number[]> {
  const tasks = await page.evaluate(() =>
    globalThis.recorder.tasks.map(([at, took]) => [at - performance.timeOrigin, took] as const),
  );
  const { pathname } = new URL(page.url());
  for (const [at, took] of tasks) console.log(`${took.toFixed(0)} ms, ${at.toFixed(0)} ms after the start of ${pathname}`);
  return tasks.map(([, took]) => took);
}

/** Watches every frame from now on. */
export function watchFrames(page: Page): Promise<void> {
  return page.evaluate(() => {
    let last = performance.now();
    const frame = () => {
      const { longestFrame } = globalThis.recorder;
      if (longestFrame === undefined) return;
      const now = performance.now();
      globalThis.recorder.longestFrame = Math.max(longestFrame, now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    globalThis.recorder.longestFrame = 0;
    requestAnimationFrame(frame);
  });
}

/** The longest time from one frame to the next since [`watchFrames`]; they are not watched any more. */
export function longestFrame(page: Page): Promise<number> {
  return page.evaluate(() => {
    const { longestFrame } = globalThis.recorder;
    globalThis.recorder.longestFrame = undefined;
    return longestFrame ?? Number.NaN;
  });
}

/** When the page was navigated to. */
export function started(page: Page): Promise<Moment> {
  return page.evaluate(() => performance.timeOrigin);
}

function install(): void {
  if (window !== window.top) return;
  const now = () => performance.timeOrigin + performance.now();
  const waiting = new Map<string, () => boolean>();
  const look = () => {
    for (const [name, there] of waiting) {
      if (!there()) continue;
      waiting.delete(name);
      // Drawn with the next frame.
      requestAnimationFrame(() => {
        globalThis.recorder.seen[name] = now();
      });
    }
  };
  const find = (selector: string, text?: string) => {
    const found = document.querySelectorAll<HTMLElement>(selector);
    return [...found].findLast((element) => text === undefined || element.textContent === text);
  };
  globalThis.recorder = {
    seen: {},
    acted: 0,
    tasks: [],
    longestFrame: undefined,
    watch(name, selector, text) {
      waiting.set(name, () => find(selector, text) !== undefined);
      look();
    },
    click(name, selector) {
      waiting.set(name, () => {
        const element = find(selector);
        element?.click();
        return element !== undefined;
      });
      look();
    },
  };
  for (const kind of ['click', 'keydown']) {
    const note = (event: Event) => {
      globalThis.recorder.acted = performance.timeOrigin + event.timeStamp;
    };
    addEventListener(kind, note, { capture: true });
  }
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      globalThis.recorder.tasks.push([performance.timeOrigin + entry.startTime, entry.duration]);
    }
  }).observe({ type: 'longtask', buffered: true });
}
