# One engine, one question, one answer.
#
#     mix run elixir/examples/basic.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

# A small model that speaks English. It is made once and then found on disk. In its place you may
# give any name from Hugging Face, such as "Qwen/Qwen3-8B", or a folder.
model = Vllm.SmallModel.path!(:chat)

IO.puts("Loading the engine …")

{:ok, engine} =
  Vllm.AsyncLLM.from_engine_args(
    model: model,
    max_model_len: 1024,
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

# A chat: the model's own template makes a prompt of the messages.
{:ok, answer} =
  Vllm.chat(engine, "What is the capital of France?", max_tokens: 40, temperature: 0.0)

[choice] = answer.choices
IO.puts("Answer: #{choice.message.content}")
IO.puts("It took #{answer.usage.completion_tokens} tokens, and ended by #{choice.finish_reason}.")

# A plain text, which the model continues. The last argument is the id of the request.
params = [max_tokens: 8, temperature: 0.0]
{:ok, output} = Vllm.AsyncLLM.generate_collect(engine, "One, two, three,", params, "request-1")
IO.puts("Continued: One, two, three,#{hd(output.outputs).text}")

# A failure is a value. It says whose fault it was, and what was wrong with what.
{:error, error} = Vllm.chat(engine, "Hello", temperature: -1)
IO.puts("Refused (#{error.kind}): #{error.message}")

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
