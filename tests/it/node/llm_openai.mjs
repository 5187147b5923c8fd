// OpenAI's client for Node against a model's API: the mock itself, or Ringway in front of it.
//
// Arguments: the base URL up to /v1, an API key, `mock` or `gateway`, and what the models' names
// begin with. Exits with 0 if all went well.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey, where, maker] = process.argv.slice(2);
const translated = where === "gateway" && maker === "claude";
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const model = (options) => `${maker}-mock-${options}`;
const user = (content) => [{ role: "user", content }];
const chat = (options, more = {}) =>
  client.chat.completions.create({ model: model(options), messages: user("twelve bytes"), ...more });
const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const checks = {
  async a_chat() {
    const answer = await chat("t5");
    assert.equal(answer.choices[0].message.content, "t0 t1 t2 t3 t4");
    assert.equal(answer.usage.completion_tokens, 5);
    assert.equal(answer.usage.prompt_tokens, 3);
  },
  async a_stream() {
    let text = "";
    let last;
    const stream = await chat("t5", { stream: true, stream_options: { include_usage: true } });
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      last = chunk;
    }
    assert.equal(text, "t0 t1 t2 t3 t4");
    assert.equal(last.usage.completion_tokens, 5);
  },
  async tools() {
    const question = user("What is the weather? Please call the tool.");
    const answer = await chat("t5", { messages: question, tools: [weather] });
    const [call] = answer.choices[0].message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Paris" });
    const result = { role: "tool", tool_call_id: call.id, content: "Sunny" };
    const messages = [...question, answer.choices[0].message, result];
    const after = await chat("t5", { messages, tools: [weather] });
    assert.equal(after.choices[0].message.content, "t0 t1 t2 t3 t4");
    const runner = client.chat.completions.stream({
      model: model("t5"),
      messages: question,
      tools: [weather],
    });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].finish_reason, "tool_calls");
    assert.equal(final.choices[0].message.tool_calls[0].function.name, "weather");
  },
  async responses() {
    const answer = await client.responses.create({ model: model("t3"), input: "x" });
    assert.equal(answer.output_text, "t0 t1 t2");
    let text = "";
    const stream = await client.responses.create({ model: model("t3"), input: "x", stream: true });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    assert.equal(text, "t0 t1 t2");
  },
  async embeddings() {
    if (translated) return;
    const asked = { model: "text-embedding-mock", input: ["one", "two"], dimensions: 64 };
    const answer = await client.embeddings.create(asked);
    assert.equal(answer.data[1].embedding.length, 64);
    const plain = await client.embeddings.create({ ...asked, encoding_format: "float" });
    assert.ok(Math.abs(plain.data[0].embedding[7] - answer.data[0].embedding[7]) < 1e-6);
  },
  async errors() {
    const wrong = new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0 });
    const ask = (who, name) =>
      who.chat.completions.create({ model: name, messages: user("x") });
    await assert.rejects(ask(wrong, model("t1")), OpenAI.AuthenticationError);
    await assert.rejects(ask(client, "nosuch"), OpenAI.NotFoundError);
    await assert.rejects(chat("a1ms-fault-429"), OpenAI.RateLimitError);
    await assert.rejects(chat("fault-500"), OpenAI.InternalServerError);
    let seen = 0;
    await assert.rejects(async () => {
      for await (const _ of await chat("t8-p5ms-fault-error-mid", { stream: true })) seen += 1;
    }, OpenAI.APIError);
    assert.ok(seen >= 2, "what came before the error was lost");
  },
  async retries() {
    const begun = performance.now();
    const asked = { model: model("a300ms-fault-429"), messages: user("x") };
    const patient = client.withOptions({ maxRetries: 2 });
    await assert.rejects(patient.chat.completions.create(asked), OpenAI.RateLimitError);
    const took = performance.now() - begun;
    assert.ok(took > 550 && took < 5000, `two waits of 300 ms took ${took}`);
    await new Promise((done) => setTimeout(done, 400)); // so long a gateway leaves the provider alone
  },
  async retries_heed_x_should_retry() {
    if (where !== "gateway") return;
    let asked = 0;
    const counting = (...args) => ((asked += 1), fetch(...args));
    const patient = new OpenAI({ baseURL, apiKey: "sk-broke-of-the-clients", maxRetries: 5, fetch: counting });
    const ask = patient.chat.completions.create({ model: model("t1"), messages: user("x") });
    await assert.rejects(ask, (error) => error.headers.get("x-should-retry") === "false");
    assert.equal(asked, 1);
  },
  async a_stream_can_be_left() {
    const stream = await chat("t100-p20ms", { stream: true });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    stream.controller.abort();
  },
};

for (const [name, check] of Object.entries(checks)) {
  console.log(`openai-node, ${maker}: ${name}`);
  await check();
}
