// Anthropic's client for Node against a model's API: the mock itself, or Ringway in front of it.
//
// Arguments: the base URL without /v1, an API key, `mock` or `gateway`, and what the models' names
// begin with. Exits with 0 if all went well.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const [baseURL, apiKey, where, maker] = process.argv.slice(2);
const translated = where === "gateway" && maker === "gpt";
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const model = (options) => `${maker}-mock-${options}`;
const user = (content) => [{ role: "user", content }];
const asked = (options, more = {}) => ({
  model: model(options),
  max_tokens: 1000,
  messages: user("twelve bytes"),
  ...more,
});
const weather = {
  name: "weather",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const checks = {
  async a_message() {
    const answer = await client.messages.create(asked("t5"));
    assert.equal(answer.content[0].text, "t0 t1 t2 t3 t4");
    assert.equal(answer.stop_reason, "end_turn");
    assert.equal(answer.usage.input_tokens, 3);
    assert.equal(answer.usage.output_tokens, 5);
  },
  async a_stream() {
    let text = "";
    for await (const event of await client.messages.create(asked("t5", { stream: true }))) {
      if (event.type === "content_block_delta") text += event.delta.text;
    }
    assert.equal(text, "t0 t1 t2 t3 t4");
    const final = await client.messages.stream(asked("t5")).finalMessage();
    assert.equal(final.content[0].text, "t0 t1 t2 t3 t4");
    assert.equal(final.usage.output_tokens, 5);
  },
  async tools() {
    const question = user("What is the weather? Please call the tool.");
    const answer = await client.messages.create(asked("t5", { messages: question, tools: [weather] }));
    assert.equal(answer.stop_reason, "tool_use");
    const call = answer.content.find((block) => block.type === "tool_use");
    assert.deepEqual(call.input, { city: "Paris" });
    const result = [{ type: "tool_result", tool_use_id: call.id, content: "Sunny" }];
    const said = { role: "assistant", content: answer.content };
    const messages = [...question, said, ...user(result)];
    const after = await client.messages.create(asked("t5", { messages, tools: [weather] }));
    assert.equal(after.content[0].text, "t0 t1 t2 t3 t4");
    const stream = client.messages.stream(asked("t5", { messages: question, tools: [weather] }));
    const final = await stream.finalMessage();
    assert.deepEqual(final.content[0].input, { city: "Paris" });
  },
  async tokens_are_counted() {
    if (translated) return;
    const count = await client.messages.countTokens({ model: model("t1"), messages: user("twelve bytes") });
    assert.equal(count.input_tokens, 3);
  },
  async errors() {
    const wrong = new Anthropic({ baseURL, apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(wrong.messages.create(asked("t1")), Anthropic.AuthenticationError);
    const nosuch = client.messages.create({ ...asked("t1"), model: "nosuch" });
    await assert.rejects(nosuch, Anthropic.NotFoundError);
    await assert.rejects(client.messages.create(asked("a1ms-fault-429")), Anthropic.RateLimitError);
    await assert.rejects(client.messages.create(asked("fault-529")), Anthropic.InternalServerError);
    let seen = 0;
    await assert.rejects(async () => {
      const broken = asked("t8-p5ms-fault-error-mid", { stream: true });
      for await (const _ of await client.messages.create(broken)) seen += 1;
    }, Anthropic.APIError);
    assert.ok(seen >= 3, "what came before the error was lost");
  },
  async retries() {
    const begun = performance.now();
    const patient = client.withOptions({ maxRetries: 2 });
    const ask = patient.messages.create(asked("a300ms-fault-429"));
    await assert.rejects(ask, Anthropic.RateLimitError);
    const took = performance.now() - begun;
    assert.ok(took > 550 && took < 5000, `two waits of 300 ms took ${took}`);
    await new Promise((done) => setTimeout(done, 400)); // so long a gateway leaves the provider alone
  },
  async retries_heed_x_should_retry() {
    if (where !== "gateway") return;
    let times = 0;
    const counting = (...args) => ((times += 1), fetch(...args));
    const patient = new Anthropic({ baseURL, apiKey: "sk-broke-of-the-clients", maxRetries: 5, fetch: counting });
    const ask = patient.messages.create(asked("t1"));
    await assert.rejects(ask, (error) => error.headers.get("x-should-retry") === "false");
    assert.equal(times, 1);
  },
};

for (const [name, check] of Object.entries(checks)) {
  console.log(`anthropic-node, ${maker}: ${name}`);
  await check();
}
