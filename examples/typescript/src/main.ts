/** Entangles two atoms, or not: submits a batch, watches it and prints what was measured. */

import { readFile } from "node:fs/promises";

import { credentials, Metadata } from "@grpc/grpc-js";

import { type ConnectionFacts, readConnectionFacts } from "./connection.js";
import {
  AccountServiceClient,
  type IssueTokenResponse,
} from "./generated/tweezer/v1/account_service.js";
import { BatchStatus } from "./generated/tweezer/v1/batch.js";
import {
  BatchServiceClient,
  CreateBatchRequest,
  type CreateBatchResponse,
  type WatchBatchResponse,
} from "./generated/tweezer/v1/batch_service.js";
import { type GetResultResponse, JobServiceClient } from "./generated/tweezer/v1/job_service.js";
import { type Counter, histogram } from "./histogram.js";
import { unary } from "./unary.js";

const SEQUENCE = new URL("../bell_pair.json", import.meta.url);
const AREAS = [0.5, 1, 2].map((factor) => (factor * Math.PI) / Math.SQRT2);
const RUNS = 500;

async function main(facts: ConnectionFacts): Promise<void> {
  const { batch: batchAddress, job: jobAddress } = facts.grpc;
  const accounts = new AccountServiceClient(batchAddress, credentials.createInsecure());
  const batches = new BatchServiceClient(batchAddress, credentials.createInsecure());
  const jobs = new JobServiceClient(jobAddress, credentials.createInsecure());
  try {
    const token = await logIn(accounts, facts);
    const created = await submit(batches, token, facts.project_id);
    await watch(batches, token, created.batch!.id);
    for (const [n, job] of created.jobs.entries()) {
      console.log(`area ${AREAS[n]?.toFixed(2)}`);
      console.log(histogram(await readCounter(jobs, token, job.id)));
    }
  } finally {
    for (const client of [accounts, batches, jobs]) {
      client.close();
    }
  }
}

/** Exchanges the password for a token, as the metadata that all other calls need. */
async function logIn(accounts: AccountServiceClient, facts: ConnectionFacts): Promise<Metadata> {
  const { username, password } = facts;
  const issued = await unary<IssueTokenResponse>((done) =>
    accounts.issueToken({ username, password }, done),
  );
  const token = new Metadata();
  token.set("authorization", `Bearer ${issued.accessToken}`);
  return token;
}

/** Creates a batch with one job for each area of the pulse. */
async function submit(
  batches: BatchServiceClient,
  token: Metadata,
  projectId: string,
): Promise<CreateBatchResponse> {
  const request = CreateBatchRequest.create({
    projectId,
    sequence: await readFile(SEQUENCE, "utf8"),
    deviceType: "EMU_FREE",
    jobs: AREAS.map((area) => ({ runs: RUNS, variablesJson: JSON.stringify({ area }) })),
  });
  return unary((done) => batches.createBatch(request, token, done));
}

/** Prints each state of the batch; the stream ends when the batch is final. */
async function watch(batches: BatchServiceClient, token: Metadata, batchId: string): Promise<void> {
  const states: AsyncIterable<WatchBatchResponse> = batches.watchBatch({ batchId }, token);
  let status = BatchStatus.BATCH_STATUS_UNSPECIFIED;
  for await (const state of states) {
    status = state.status;
    console.log(
      `${BatchStatus[status]}: ${state.jobCounts?.done ?? 0} of ${AREAS.length} jobs done`,
    );
  }
  if (status !== BatchStatus.BATCH_STATUS_DONE) {
    throw new Error(`the batch ended as ${BatchStatus[status]}`);
  }
}

/** Reads the result file of a job, which comes in parts. */
async function readCounter(
  jobs: JobServiceClient,
  token: Metadata,
  jobId: string,
): Promise<Counter> {
  const parts: AsyncIterable<GetResultResponse> = jobs.getResult({ jobId }, token);
  const chunks: Buffer[] = [];
  for await (const part of parts) {
    chunks.push(part.chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString()).counter;
}

try {
  await main(await readConnectionFacts(process.argv[2]));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
