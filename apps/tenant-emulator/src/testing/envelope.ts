import { expect } from '@jest/globals';
import type { Answer } from './tenant-client.js';

/** Expects a complete envelope of success with status 200, and returns its result. */
export function successOf({ status, json }: Answer): unknown {
  expect({ status, json }).toEqual({
    status: 200,
    json: {
      success: true,
      Result: json?.Result,
      Message: null,
      MessageID: null,
      Exception: null,
      ErrorID: null,
      ErrorCode: null,
      IsSoftError: false,
      InnerExceptions: null,
    },
  });
  return json?.Result;
}

/** Expects a complete envelope of a failure, and returns its status, message id and message. */
export function failureOf({ status, json, headers }: Answer) {
  expect(json).toEqual({
    success: false,
    Result: null,
    Message: expect.any(String),
    MessageID: json?.MessageID,
    Exception: null,
    ErrorID: expect.stringMatching(/^[0-9a-f-]{36}:[0-9a-f]{32}$/),
    ErrorCode: null,
    IsSoftError: false,
    InnerExceptions: null,
  });
  expect(String(json?.ErrorID).startsWith(String(headers.get('x-cfy-tx-id')))).toBe(true);
  return { status, id: json?.MessageID, text: json?.Message };
}
