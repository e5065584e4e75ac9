defmodule Vllm.Mellea.Backends.LocalVLLMBackend do
  @moduledoc """
  Mellea's `LocalVLLMBackend`: generates with an engine of the worker.

      alias Vllm.Mellea.Backends.LocalVLLMBackend
      alias Vllm.Mellea.{ChatContext, ModelOutputThunk}

      {:ok, backend} = LocalVLLMBackend.new("Qwen/Qwen3-0.6B", model_options: %{max_new_tokens: 200})
      {:ok, {thunk, context}} =
        LocalVLLMBackend.generate_from_context(backend, "Why is the sky blue?", %ChatContext{})
      {:ok, text} = ModelOutputThunk.avalue(thunk)

  With `engine:` it uses an engine that is there, beside the engine's other callers. Otherwise it
  builds one, from those of its options that are arguments of an engine, with the defaults
  `gpu_memory_utilization: 0.9`, `max_num_seqs: 16` and `max_model_len: 16384`. If the engine does not
  start, one of the three is made smaller, in turn, until it does. If vLLM says that its compile cache
  is broken, the cache is removed, once, and the same is tried again.

  A backend is an object of the worker, and what `new/2` returns is its `Vllm.Ref`. An engine that it
  has built lives until `shutdown/2`, whoever holds the backend.

  Set `max_new_tokens` in any case: vLLM's default is 16 tokens.

  ## Errors

    * `:invalid` - an argument is wrong, or the chat template does not take the messages
    * `:unsupported` - activated adapters, or the engine is not the backend's own
    * `:cancelled` - a hook blocked the call
    * `:missing_dependency` - `mix vllm.setup --with mellea` installs what is missing
    * `:engine_error` - the engine did not start; `cause` is the last error
    * `:engine_dead` - the engine is dead
  """

  alias Vllm.{AsyncLLM, Call, Error, Ref, RequestOutput}
  alias Vllm.Core.Mellea.{Asking, Attempts, Generations, Hooks, Settings, Wire}
  alias Vllm.Mellea.{ChatContext, ModelIdentifier, ModelOption, SimpleContext}

  @doc """
  Makes a backend for a model: its name on Hugging Face, its folder, or a
  `Vllm.Mellea.ModelIdentifier`.

  ## Options

  #{Settings.docs(:backend)}
  """
  @spec new(String.t() | ModelIdentifier.t(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(model_id, opts \\ []) do
    with {:ok, model} <- model(model_id),
         {:ok, settings} <- Settings.validate(:backend, opts),
         {:ok, args} <- Attempts.engine_args(settings.model_options) do
      if settings.engine == nil,
        do: build(model, args, settings),
        else: on_engine(model, settings)
    end
  end

  defp model(%ModelIdentifier{hf_model_name: name}), do: model(name)

  defp model(name) when is_binary(name) do
    if name != "" and String.valid?(name), do: {:ok, name}, else: model(nil)
  end

  defp model(_other) do
    message = "model_id: wants the model's name on Hugging Face, or its folder"
    {:error, Error.new(:invalid, message, details: %{"parameter" => "model_id"})}
  end

  defp on_engine(model, settings) do
    with {:ok, engine} <- engine(settings.engine, settings),
         do: backend(engine, model, settings, [])
  end

  defp engine(%Ref{} = engine, _settings), do: {:ok, engine}

  defp engine(name, settings) when is_atom(name) and name not in [true, false],
    do: Vllm.engine(settings.instance || Vllm.Default, name, settings.timeout)

  defp engine(_other, _settings) do
    message = "engine: wants the Vllm.Ref of an AsyncLLM, or the name of an engine"
    {:error, Error.new(:invalid, message, details: %{"parameter" => "engine"})}
  end

  defp build(model, args, settings) do
    args = Map.put(args, :model, model)

    build = &start(settings.instance, &1, settings)

    with {:ok, engine, args} <-
           Attempts.run(args, build, fn -> remove_compile_cache(settings) end) do
      own = args |> Map.delete(:model) |> Map.new(fn {name, value} -> {"#{name}", value} end)

      with {:error, error} <- backend(engine, model, settings, engine_args: own) do
        # Nobody could reach it.
        AsyncLLM.shutdown(engine)
        {:error, error}
      end
    end
  end

  defp start(place, args, settings) do
    Call.invoke_class(
      "AsyncLLM",
      "from_engine_args",
      1,
      List.wrap(place) ++ [args, [rpc: settings.rpc]]
    )
  end

  defp remove_compile_cache(settings) do
    place = List.wrap(settings.instance)
    Call.invoke_class("MelleaCompileCache", "remove", 0, place ++ [[], []])
  end

  defp backend(engine, model, settings, own) do
    named =
      own ++
        for {name, value} <- Map.take(settings, [:model_options, :formatter]),
            value != nil,
            do: {name, value}

    arguments = [engine: engine, model_id: model] ++ named

    Call.invoke_class("LocalVLLMBackend", "new", 0, [engine, arguments, [rpc: settings.rpc]])
  end

  @doc "What the engine was built from, beside the model. Takes `timeout` and `rpc`."
  @spec engine_args(Ref.t(), keyword()) :: {:ok, map()} | {:error, Error.t()}
  def engine_args(backend, opts \\ []), do: ask(backend, "engine_args", [], :asking, opts)

  @doc "By the engine's names of options: Mellea's. Takes `timeout` and `rpc`."
  @spec to_mellea_model_opts_map(Ref.t(), keyword()) ::
          {:ok, %{String.t() => String.t()}} | {:error, Error.t()}
  def to_mellea_model_opts_map(backend, opts \\ []),
    do: ask(backend, "to_mellea_model_opts_map", [], :asking, opts)

  @doc "By Mellea's names of options: the engine's. Takes `timeout` and `rpc`."
  @spec from_mellea_model_opts_map(Ref.t(), keyword()) ::
          {:ok, %{String.t() => String.t()}} | {:error, Error.t()}
  def from_mellea_model_opts_map(backend, opts \\ []),
    do: ask(backend, "from_mellea_model_opts_map", [], :asking, opts)

  @doc """
  What the engine was built from, and the parameters that a request with these options would have.
  Takes `timeout` and `rpc`.
  """
  @spec effective_options(Ref.t(), ModelOption.options(), keyword()) ::
          {:ok, %{engine: map(), sampling: map()}} | {:error, Error.t()}
  def effective_options(backend, model_options \\ %{}, opts \\ []) do
    with {:ok, options} <- Wire.options(model_options),
         {:ok, %{"engine" => engine, "sampling" => sampling}} <-
           ask(backend, "effective_options", [options], :asking, opts),
         do: {:ok, %{engine: engine, sampling: sampling}}
  end

  @doc """
  The text that `generate_from_context/4` would give to the model.

  ## Options

  #{Settings.docs(:prompt)}
  """
  @spec render_prompt(Ref.t(), Vllm.Mellea.span(), Vllm.Mellea.context(), keyword()) ::
          {:ok, String.t()} | {:error, Error.t()}
  def render_prompt(backend, action, context, opts \\ []) do
    given = [Wire.span(action), Wire.context(context)]
    ask(backend, "render_prompt", given, :prompt, opts)
  end

  @doc """
  Begins a text that goes on from a context, and returns its thunk and the context with the action and
  the thunk; see `Vllm.Mellea.ModelOutputThunk`.

  The context is a `Vllm.Mellea.ChatContext` or a `Vllm.Mellea.SimpleContext`. Of the hooks only
  `:generation_pre_call` runs, because the call returns before the text is made.

  ## Options

  #{Settings.docs(:generation)}
  """
  @spec generate_from_context(Ref.t(), Vllm.Mellea.span(), Vllm.Mellea.context(), keyword()) ::
          {:ok, {Ref.t(), Vllm.Mellea.context()}} | {:error, Error.t()}
  def generate_from_context(backend, action, context, opts \\ []) do
    given = [Wire.span(action), Wire.context(context)]

    Generations.span("generate_from_context", 1, fn ->
      with {:ok, thunk} <- generate(backend, "generate_from_context", given, :generation, opts),
           do: {:ok, {thunk, context |> add(action) |> add(thunk)}}
    end)
  end

  defp add(%ChatContext{} = context, turn), do: ChatContext.add(context, turn)
  defp add(%SimpleContext{} = context, turn), do: SimpleContext.add(context, turn)
  defp add(other, _turn), do: other

  @doc """
  Makes a text for each of some texts, all at the same time, and returns their thunks in order. There
  is no chat template, and the context has no effect.

  ## Options

  #{Settings.docs(:raw)}
  """
  @spec generate_from_raw(Ref.t(), [Vllm.Mellea.span()], Vllm.Mellea.context(), keyword()) ::
          {:ok, [Ref.t()]} | {:error, Error.t()}
  def generate_from_raw(backend, actions, context \\ %SimpleContext{}, opts \\ [])

  def generate_from_raw(backend, actions, context, opts) when length(actions) >= 0 do
    given = [Enum.map(actions, &Wire.span/1), Wire.context(context)]

    Generations.span("generate_from_raw", length(actions), fn ->
      generate(backend, "generate_from_raw", given, :raw, opts)
    end)
  end

  def generate_from_raw(_backend, _actions, _context, _opts) do
    {:error, Error.new(:invalid, "actions: wants a list", details: %{"parameter" => "actions"})}
  end

  @doc """
  Shuts the backend's own engine down and builds it again from the same arguments. Texts that are being
  made are lost. Takes `timeout` and `rpc`.
  """
  @spec restart_engine(Ref.t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def restart_engine(backend, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:building, opts),
         {:ok, args} <- engine_args(backend),
         {:ok, %{"model" => model, "engine" => engine}} <- ask(backend, "own", [], :asking, []),
         {:ok, nil} <- AsyncLLM.shutdown(engine),
         {:ok, engine} <- start(engine, Map.put(args, "model", model), settings),
         do: ask(backend, "use_engine", [engine], :asking, [])
  end

  @doc "Shuts the backend's own engine down. Takes `timeout` and `rpc`."
  @spec shutdown(Ref.t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def shutdown(backend, opts \\ []) do
    with {:ok, %{"engine" => engine}} <- ask(backend, "own", [], :asking, opts),
         do: AsyncLLM.shutdown(engine)
  end

  @doc """
  Adds an output of a request to a thunk of `Vllm.Mellea.ModelOutputThunk.new/2`: the text of its first
  completion, its tokens, and why it ended. The request is your own, with `output_kind: :DELTA`:

      {:ok, thunk} = ModelOutputThunk.new(backend)
      {:ok, outputs} = AsyncLLM.generate(engine, prompt, %SamplingParams{output_kind: :DELTA}, id)
      for output <- outputs, do: {:ok, nil} = LocalVLLMBackend.processing(backend, thunk, output)
      {:ok, nil} = LocalVLLMBackend.post_processing(backend, thunk, prompt, nil, false, [], nil)

  The backend does the same with the thunks of its own requests; those are refused here. Takes `timeout`
  and `rpc`.
  """
  @spec processing(Ref.t(), Ref.t(), RequestOutput.t(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def processing(backend, thunk, output, opts \\ []),
    do: ask(backend, "processing", [thunk, Wire.output(output)], :asking, opts)

  @doc """
  Ends a thunk that was filled with `processing/4`: its text is whole, the tool calls in it are found, and
  its log is written. The arguments are those of Mellea's `post_processing`: `conversation`, messages or a
  text, is what the model was given; calls are looked for with `tool_calls` and without a `format`; `tools`
  are those that the model was offered, and `seed` is for the log. Takes `timeout` and `rpc`.
  """
  @spec post_processing(
          Ref.t(),
          Ref.t(),
          [Vllm.Mellea.Message.t() | map()] | String.t(),
          map() | module() | nil,
          boolean(),
          [Vllm.Tool.t()] | %{String.t() => Vllm.Tool.t()},
          integer() | nil,
          keyword()
        ) :: {:ok, nil} | {:error, Error.t()}
  def post_processing(
        backend,
        thunk,
        conversation,
        format,
        tool_calls,
        tools,
        seed,
        opts \\ []
      ) do
    given = [
      thunk,
      Wire.conversation(conversation),
      Wire.format(format),
      tool_calls,
      Wire.tools(tools),
      seed
    ]

    ask(backend, "post_processing", given, :asking, opts)
  end

  ## Calls

  # Without hooks it is a call like any other.
  defp generate(%Ref{type: "LocalVLLMBackend"} = backend, method, given, kind, opts) do
    with {:ok, %{hooks: [_ | _] = hooks} = settings} <- Settings.validate(kind, opts) do
      given = [Hooks.names(hooks) | given]
      arguments = Settings.arguments(settings)

      with {:ok, %{"value" => made}} <-
             Asking.call(backend, method <> "_with_hooks", given, arguments, [], settings),
           do: {:ok, made}
    else
      {:ok, _settings} -> ask(backend, method, given, kind, opts)
      {:error, error} -> {:error, error}
    end
  end

  defp generate(other, method, given, kind, opts), do: ask(other, method, given, kind, opts)

  defp ask(%Ref{type: "LocalVLLMBackend"} = backend, method, positional, kind, opts) do
    with {:ok, settings} <- Settings.validate(kind, opts) do
      Call.invoke(backend, method, positional, Settings.arguments(settings), rpc: settings.rpc)
    end
  end

  defp ask(other, _method, _positional, _kind, _opts) do
    message =
      "backend: wants the Vllm.Ref of a LocalVLLMBackend, got: " <>
        inspect(other, limit: 5, printable_limit: 100)

    {:error, Error.new(:invalid, message, details: %{"parameter" => "backend"})}
  end
end
