import path from 'node:path';
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

/** How long, in milliseconds, all threads together were in each script or wasm, by the file's name. */
export async function stopProfile(browser: Browser): Promise<Map<string, number>> {
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
  const nodesOf = new Map<string, Map<number, string>>();
  const spent = new Map<string, number>();
  for (const { name, pid, id, args } of traceEvents) {
    if (name !== 'ProfileChunk') continue;
    // A node is told once, with the first chunk that needs it.
    const key = `${pid} ${id}`;
    const nodes = nodesOf.get(key) ?? new Map();
    nodesOf.set(key, nodes);
    for (const node of args.data?.cpuProfile?.nodes ?? []) {
      const { url, functionName } = node.callFrame;
      nodes.set(node.id, url ? path.basename(url) : functionName);
    }
    const deltas = args.data?.timeDeltas ?? [];
    for (const [n, sample] of (args.data?.cpuProfile?.samples ?? []).entries()) {
      const place = nodes.get(sample);
      if (place) spent.set(place, (spent.get(place) ?? 0) + (deltas[n] ?? 0) / 1000);
    }
  }
  return spent;
}
