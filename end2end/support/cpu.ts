import type { Browser } from '@playwright/test';

interface TraceEvent {
  name: string;
  pid: number;
  id?: string;
  args: {
    data?: {
      cpuProfile?: { nodes?: Node[]; samples?: number[] };
      timeDeltas?: number[];
    };
  };
}

interface Node {
  id: number;
  callFrame: { url?: string; functionName: string };
}

/** Takes samples of all threads of a browser, until `stop`. */
export async function startProfile(browser: Browser): Promise<void> {
  await browser.startTracing(undefined, { categories: ['disabled-by-default-v8.cpu_profiler'] });
}

/** How long, in milliseconds, the threads that run a wasm of this name were inside of it. */
export async function stopProfile(browser: Browser, wasm: RegExp): Promise<number> {
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const profiles = new Map<string, Set<number>>();
  let inside = 0;
  for (const { name, pid, id, args } of traceEvents) {
    if (name !== 'ProfileChunk') continue;
    // A node is told once, with the first chunk that needs it.
    const key = `${pid} ${id}`;
    const nodes = profiles.get(key) ?? new Set();
    profiles.set(key, nodes);
    for (const node of args.data?.cpuProfile?.nodes ?? []) {
      if (wasm.test(node.callFrame.url ?? '')) nodes.add(node.id);
    }
    const deltas = args.data?.timeDeltas ?? [];
    for (const [n, sample] of (args.data?.cpuProfile?.samples ?? []).entries()) {
      if (nodes.has(sample)) inside += deltas[n] ?? 0;
    }
  }
  return inside / 1000;
}
