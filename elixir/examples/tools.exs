# Functions of yours that the model may call.
#
#     mix run elixir/examples/tools.exs
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
    max_model_len: 2048,
    # These three make it start sooner on a CPU. Leave them out where there is a GPU.
    enforce_eager: true,
    kv_cache_memory_bytes: 256 * 1024 * 1024,
    distributed_executor_backend: "vllm.v1.executor.uniproc_executor.UniProcExecutor"
  )

weather =
  struct!(Vllm.Tool,
    name: "get_weather",
    description: "The weather in a city",
    parameters: %{
      type: "object",
      properties: %{city: %{type: "string", enum: ["Paris", "Rome", "Tokyo"]}},
      required: ["city"],
      additionalProperties: false
    },
    run: fn %{"city" => city} ->
      IO.puts("The model calls get_weather for #{city}.")
      %{city: city, sky: "sunny", degrees: 24}
    end
  )

# The function is run, its result is given to the model, and the model is asked again.
{:ok, {answer, conversation}} =
  Vllm.Chat.run_tools(engine, "How is the weather in Rome?",
    tools: [weather],
    # How this model writes a call; "hermes" also suits Qwen.
    tool_parser: "hermes",
    # A model as small as this one would rather chat. Larger ones do without this line.
    tool_choice: "required",
    max_tokens: 60,
    temperature: 0.0
  )

IO.puts("\nThe conversation:")
for message <- conversation, do: IO.puts("  #{inspect(message, width: :infinity)}")

IO.puts("\nAnswer: #{hd(answer.choices).message.content}")

{:ok, nil} = Vllm.AsyncLLM.shutdown(engine)
