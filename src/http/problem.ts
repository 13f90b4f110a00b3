/** @module Errors of the API as RFC 9457 asks: application/problem+json with a title, a status, a detail. */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";

const TITLES: Readonly<Record<number, string>> = {
  400: "The request is not well formed",
  401: "A token is needed",
  403: "Not from here",
  404: "There is no such thing",
  409: "Not in this state",
  413: "The request is too large",
  415: "JSON is expected",
  422: "The order cannot be understood",
  500: "The server failed",
  503: "Too many listeners",
};

export function problem(context: Context, status: ContentfulStatusCode, detail: string): Response {
  return context.json({ type: "about:blank", title: TITLES[status] ?? "Error", status, detail }, status, {
    "content-type": "application/problem+json",
  });
}
