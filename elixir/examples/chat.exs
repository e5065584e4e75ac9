# A conversation of several turns: the answers become a part of what is asked next.
#
#     mix run elixir/examples/chat.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

IO.puts("Loading the engine …")

{:ok, engine} =
  Vllm.AsyncLLM.from_engine_args(
    model: Vllm.SmallModel.path!(:chat),
    max_model_len: 1024,
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

system = {:system, "You are a guide to cities. Answer in one short sentence."}

questions = [
  "What is the capital of France?",
  "Name a famous building there.",
  "And what is the capital of Italy?"
]

history =
  Enum.reduce(questions, [system], fn question, history ->
    messages = history ++ [{:user, question}]
    {:ok, answer} = Vllm.chat(engine, messages, max_tokens: 40, temperature: 0.0)

    IO.puts("\nYou:   #{question}")
    IO.puts("Model: #{hd(answer.choices).message.content}")
    IO.puts("       (a prompt of #{answer.usage.prompt_tokens} tokens)")

    # An answer is a message too.
    messages ++ [answer]
  end)

IO.puts("\nThe conversation has #{length(history)} messages now.")

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
