# Embeddings, and a search by meaning with them.
#
#     mix run elixir/examples/embeddings_and_search.exs
#
# For a file of your own, copy this one, put the next line at its top, and run it with `elixir`:
#
#     Mix.install([{:vllm_bridge, path: "/path/to/vllm_bridge"}])

# vLLM logs much while it loads.
Logger.configure(level: :error)

IO.puts("Loading the engine …")

{:ok, engine} =
  Vllm.AsyncLLM.from_engine_args(
    model: Vllm.SmallModel.path!(:embed),
    runner: "pooling",
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 64 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

documents = [
  "A cat sleeps on the sofa.",
  "The stock market fell today.",
  "Rain is expected tomorrow.",
  "The recipe needs two eggs and flour.",
  "The train to Rome leaves at nine."
]

# One call for all of them. The result is one tensor, with a row of 384 numbers for each text.
{:ok, batch} = Vllm.embed(engine, documents)
IO.puts("Embeddings: #{inspect(batch.embeddings)}")

# Keep the rows, and a question costs one short request. For thousands of texts, multiply with Nx:
# see the guide "Pooling".
index = Enum.zip(documents, Vllm.Tensor.rows(batch.embeddings))

for question <- ["What will the weather be like?", "How do I bake a cake?", "Where is my pet?"] do
  {:ok, asked} = Vllm.embed(engine, question)
  [row] = Vllm.Tensor.rows(asked.embeddings)

  [{best, score} | _others] =
    index
    |> Enum.map(fn {text, embedding} -> {text, Vllm.Tensor.cosine(row, embedding)} end)
    |> Enum.sort_by(fn {_text, score} -> score end, :desc)

  IO.puts("#{question}\n  #{Float.round(score, 2)}  #{best}")
end

# Both steps in one call, without an index.
{:ok, scored} = Vllm.score(engine, "Which text is about money?", documents)
ranked = documents |> Enum.zip(Vllm.Tensor.to_list(scored.scores)) |> Enum.sort_by(&elem(&1, 1))
IO.puts("Which text is about money?\n  #{ranked |> List.last() |> elem(0)}")

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
