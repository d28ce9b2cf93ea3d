import type { ServiceError } from "@grpc/grpc-js";

/** Makes a promise of a unary call; generated clients know callbacks only. */
export function unary<Response>(
  call: (done: (error: ServiceError | null, response: Response) => void) => void,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error === null ? resolve(response) : reject(error)));
  });
}
