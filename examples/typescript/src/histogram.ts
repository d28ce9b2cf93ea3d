/** How often each bitstring was measured. */
export type Counter = Record<string, number>;

const WIDTH = 40;

/** Draws a line for each bitstring: its bits, its count and a bar. */
export function histogram(counter: Counter): string {
  const rows = Object.entries(counter).sort(([a], [b]) => a.localeCompare(b));
  const runs = rows.reduce((sum, [, count]) => sum + count, 0);
  return rows
    .map(([bits, count]) => {
      const bar = "#".repeat(Math.round((WIDTH * count) / runs));
      return `  ${bits} ${String(count).padStart(5)} ${bar}`.trimEnd();
    })
    .join("\n");
}
