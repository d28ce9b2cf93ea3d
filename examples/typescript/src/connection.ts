import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";

/** What this client needs of the output of `tweezer connection --json`. */
export interface ConnectionFacts {
  username: string;
  password: string;
  project_id: string;
  /** Address of each service. */
  grpc: { batch: string; job: string };
}

/** Reads the facts from a file, or from standard input when none is named. */
export async function readConnectionFacts(file?: string): Promise<ConnectionFacts> {
  if (file === undefined && process.stdin.isTTY) {
    throw new Error("usage: tweezer connection --json | npm start");
  }
  return JSON.parse(file === undefined ? await text(process.stdin) : await readFile(file, "utf8"));
}
