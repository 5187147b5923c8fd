// The Vercel AI SDK with its providers for OpenAI and Anthropic against a model's API: the mock
// itself, or Ringway in front of it.
//
// Arguments: the base URL up to /v1, an API key, `mock` or `gateway`, and what the models' names
// begin with: `gpt` is asked in OpenAI's dialect, `claude` in Anthropic's. Exits with 0 if all went well.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, apiKey, , maker] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey });
const anthropic = createAnthropic({ baseURL, apiKey });
const models =
  maker === "gpt"
    ? { chat: (o) => openai.chat(`gpt-mock-${o}`), responses: (o) => openai.responses(`gpt-mock-${o}`) }
    : { messages: (o) => anthropic(`claude-mock-${o}`) };
const weather = tool({
  description: "The weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `Sunny in ${city}`,
});

const checks = {
  async a_chat(model) {
    const answer = await generateText({ model: model("t5"), system: "Be brief.", prompt: "Hello", maxRetries: 0 });
    assert.equal(answer.text, "t0 t1 t2 t3 t4");
    assert.equal(answer.finishReason, "stop");
    assert.equal(answer.usage.outputTokens, 5);
  },
  async a_stream(model) {
    const stream = streamText({ model: model("t5"), prompt: "Hello", maxRetries: 0 });
    const pieces = [];
    for await (const piece of stream.textStream) pieces.push(piece);
    assert.equal(pieces.join(""), "t0 t1 t2 t3 t4");
    assert.equal(pieces.length, 5);
    assert.equal((await stream.usage).outputTokens, 5);
  },
  async tools_in_a_loop(model) {
    const answer = await generateText({
      model: model("t5"),
      prompt: "What is the weather? Please call the tool.",
      tools: { weather },
      stopWhen: stepCountIs(3),
      maxRetries: 0,
    });
    assert.equal(answer.steps.length, 2);
    assert.deepEqual(answer.steps[0].toolCalls[0].input, { city: "Paris" });
    assert.equal(answer.steps[0].toolResults[0].output, "Sunny in Paris");
    assert.equal(answer.text, "t0 t1 t2 t3 t4");
  },
  async an_object(model) {
    const schema = z.object({ city: z.string(), sure: z.boolean() });
    const answer = await generateObject({ model: model("t5"), schema, prompt: "Where?", maxRetries: 0 });
    assert.deepEqual(answer.object, { city: "Paris", sure: true });
  },
  async errors_and_retries(model) {
    const begun = performance.now();
    const ask = generateText({ model: model("a300ms-fault-429"), prompt: "x", maxRetries: 1 });
    await assert.rejects(ask, (error) => {
      const last = error.lastError ?? error;
      assert.ok(APICallError.isInstance(last), `${last}`);
      assert.equal(last.statusCode, 429);
      return true;
    });
    assert.ok(performance.now() - begun > 280, "retry-after-ms was not waited for");
    await new Promise((done) => setTimeout(done, 400)); // so long a gateway leaves the provider alone
    const broken = streamText({ model: model("t8-p5ms-fault-error-mid"), prompt: "x", maxRetries: 0, onError() {} });
    const kinds = [];
    for await (const part of broken.fullStream) kinds.push(part.type);
    assert.ok(kinds.includes("error") && kinds.includes("text-delta"), `${kinds}`);
  },
};

for (const [kind, model] of Object.entries(models)) {
  for (const [name, check] of Object.entries(checks)) {
    console.log(`AI SDK, ${kind}: ${name}`);
    await check(model);
  }
}
if (maker === "gpt") {
  console.log("AI SDK: embeddings");
  const model = openai.textEmbeddingModel("text-embedding-mock");
  const { embeddings } = await embedMany({ model, values: ["one", "two"], maxRetries: 0 });
  assert.equal(embeddings.length, 2);
}
