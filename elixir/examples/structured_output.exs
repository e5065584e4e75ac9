# Answers of a given form: JSON that fits a schema, one of several words, a regular expression.
#
#     mix run elixir/examples/structured_output.exs
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
    # All structured requests of an engine use one back end. Name it.
    structured_outputs_config: %{backend: "xgrammar"},
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

# Tokens that would break the schema are never chosen, so the value always fits it.
schema = %{
  type: "object",
  properties: %{
    name: %{type: "string", maxLength: 20},
    age: %{type: "integer", minimum: 0, maximum: 120},
    city: %{enum: ["London", "Paris", "Rome"]}
  },
  required: ["name", "age", "city"],
  additionalProperties: false
}

text = "Ada is 36 years old and lives in London."
options = [max_tokens: 80, temperature: 0.0]
{:ok, person} = Vllm.json(engine, "Write this as JSON: #{text}", schema, options)
IO.puts("As a map:    #{inspect(person)}")

# The same works for any prompt, by the parameters of the request.
ask = fn prompt, structure ->
  params = [max_tokens: 12, temperature: 0.0, structured_outputs: structure]
  id = "request-#{System.unique_integer([:positive])}"
  {:ok, output} = Vllm.AsyncLLM.generate_collect(engine, prompt, params, id)
  hd(output.outputs).text
end

mood = ask.("I love this film! The mood of this text is", choice: [" happy", " sad"])
IO.puts("A choice:    #{inspect(mood)}")

date = ask.("The first day of the year 2030 is", regex: " [0-9]{4}-[0-9]{2}-[0-9]{2}")
IO.puts("A regex:     #{inspect(date)}")

# A schema that cannot be compiled is refused before the model runs.
{:error, error} = Vllm.json(engine, text, %{type: "object", properties: %{age: %{type: "int"}}})
IO.puts("An error:    #{error.kind}: #{error.message |> String.split("\n") |> hd()}")

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
