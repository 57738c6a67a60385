/** What was measured of one thing. */
export interface Measured {
  what: string;
  /** In the unit of `what`. */
  values: number[];
  /** At most this is wanted. */
  mark?: number;
  /** Beside which figure of the same run it may be seen. */
  note?: string;
  unit?: string;
}

export function percentile(values: number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
}

export const median = (values: number[]) => percentile(values, 0.5);

/** A Markdown table: the median and the worst, and whether the median meets the mark. */
export function table(rows: Measured[]): string {
  const number = (value: number) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
  const lines = rows.map(({ what, values, mark, unit = 'ms', note = '' }) => {
    const middle = median(values);
    const verdict = mark === undefined ? '' : middle <= mark ? 'met' : `missed by ${number(middle - mark)} ${unit}`;
    const cells = [
      what,
      mark === undefined ? '' : `<= ${mark} ${unit}`,
      `${number(middle)} ${unit}`,
      `${number(Math.max(...values))} ${unit}`,
      String(values.length),
      verdict,
      note,
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return ['| what | mark | median | worst | runs | | |', '|---|---|---|---|---|---|---|', ...lines].join('\n');
}
