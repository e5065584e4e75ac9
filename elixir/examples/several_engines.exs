# Two engines in one worker: one finds the text that a question is about, the other answers with it.
#
#     mix run elixir/examples/several_engines.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

# These make an engine start sooner on a CPU. Leave them out where there is a GPU.
on_a_cpu = [
  enforce_eager: true,
  kv_cache_memory_bytes: 256 * 1024 * 1024,
  distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
]

writer = [model: Vllm.SmallModel.path!(:chat), max_model_len: 1024] ++ on_a_cpu
finder = [model: Vllm.SmallModel.path!(:embed), runner: "pooling"] ++ on_a_cpu

# The engines are declared under names. The instance builds them, and builds them again if they die.
IO.puts("Loading two engines …")
{:ok, instance} = Vllm.start_link(name: Example.Vllm, engines: [writer: writer, finder: finder])

{:ok, writer} = Vllm.engine(Example.Vllm, :writer, :infinity)
{:ok, finder} = Vllm.engine(Example.Vllm, :finder, :infinity)

notes = [
  "The library opens at nine and closes at six.",
  "The cafeteria serves soup and bread.",
  "The key to the bicycle shed is at the front desk."
]

for question <- ["When does the library open?", "Where is the key to the shed?"] do
  {:ok, scored} = Vllm.score(finder, question, notes)

  {note, _score} =
    notes |> Enum.zip(Vllm.Tensor.to_list(scored.scores)) |> Enum.max_by(&elem(&1, 1))

  messages = [
    {:system, "Answer in one short sentence, with the help of this note: #{note}"},
    {:user, question}
  ]

  {:ok, answer} = Vllm.chat(writer, messages, max_tokens: 40, temperature: 0.0)
  IO.puts("\n#{question}\n  note:   #{note}\n  answer: #{hd(answer.choices).message.content}")
end

# What each engine has done so far.
{:ok, engines} = Vllm.metrics(Example.Vllm)
IO.puts("")

for %{engine: name, metrics: metrics} <- Enum.sort_by(engines, & &1.engine),
    do:
      IO.puts(
        "#{name}: #{metrics.requests_finished} requests, #{metrics.prompt_tokens} tokens read"
      )

# The worker and both engines end with the instance.
Supervisor.stop(instance)
