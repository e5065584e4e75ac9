defmodule Vllm.Inference do
  @moduledoc """
  One interface to the places where a text can come from: servers of vLLM's and Ollama's, GGUF files,
  models of Transformers, and the engines of this worker.

      {:ok, provider} = Vllm.Inference.get_provider("ollama")
      {:ok, result} = Vllm.Inference.generate(provider, "Why is the sky blue?", "llama3.2", max_tokens: 64)
      result.text

  | type | provider | second argument | variable | default |
  | --- | --- | --- | --- | --- |
  | `"vllm"` | `Vllm.Inference.VLLMProvider` | URL | `VLLM_BASE_URL` | `http://localhost:8100/v1` |
  | `"ollama"` | `Vllm.Inference.OllamaProvider` | URL | `OLLAMA_BASE_URL` | `http://localhost:11434/v1` |
  | `"llamacpp"` | `Vllm.Inference.LlamaCppProvider` | path of a GGUF file | `LLAMACPP_MODEL_PATH` | |
  | `"transformers"` | `Vllm.Inference.TransformersProvider` | folder or name of a model | `TRANSFORMERS_MODEL_NAME` | |
  | `"async_llm"` | `Vllm.Inference.AsyncLLMProvider` | reference or name of an engine | | |

  Without a type it is that of the variable `INFERENCE_PROVIDER`, or `"vllm"`. The variables are those
  of the worker's environment, read at the call. An empty string counts as not given.

  A provider is an object of the worker, and what `get_provider/3` returns is its `Vllm.Ref`. Whoever
  asks for the same type and place gets the same one. It lives as long as some process has its
  reference, and beyond that, with its model and adapters, until `clear_cache/1`. The first text loads
  the model; making a provider does not look at it.

  A provider may also be written in Elixir; see `Vllm.Inference.Provider`.

  ## Errors

    * `:invalid` - an argument is wrong, an adapter was not loaded, or the prompt does not fit
    * `:not_found` - there is no model or adapter at the place
    * `:unsupported` - the provider has no such operation
    * `:http_status` - the server refused; `details["status"]` has the status, the message its words
    * `:unreachable` - the server does not answer
    * `:missing_dependency` - `mix vllm.setup --with providers` installs what is missing
    * `:engine_error` - llama.cpp, Transformers or PEFT failed; the next text starts it anew
    * `:engine_dead` - the engine of an `AsyncLLMProvider` is dead
    * `:timeout` - the deadline has passed; the text was given up, on the server too
  """

  alias Vllm.{Call, Error, Ref}
  alias Vllm.Core.Inference.Settings
  alias Vllm.Inference.{GenerationResult, Provider}

  @types ~w(VLLMProvider OllamaProvider LlamaCppProvider TransformersProvider AsyncLLMProvider)

  @doc """
  Returns the provider of a type and a place; see the table above.

  ## Options

  #{Settings.docs(:selection)}
  """
  @spec get_provider(String.t() | atom(), String.t() | Ref.t() | atom(), keyword()) ::
          {:ok, Ref.t()} | {:error, Error.t()}
  def get_provider(type \\ nil, base_url \\ nil, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:selection, opts),
         {:ok, place} <- place(base_url, settings),
         do: ask("get_provider", [{:type, type} | place], settings)
  end

  @doc """
  Returns the provider that a step of a pipeline names: a map that may have `provider` and `base_url`,
  which are the arguments of `get_provider/3`. Takes its options.
  """
  @spec get_provider_for_step(map(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def get_provider_for_step(step, opts \\ [])

  def get_provider_for_step(%{} = step, opts) when not is_struct(step) do
    # A step has a key once, as an atom or as a string.
    named = fn name -> Map.get(step, name) || Map.get(step, Atom.to_string(name)) end

    with {:ok, settings} <- Settings.validate(:selection, opts),
         {:ok, place} <- place(named.(:base_url), settings) do
      {base_url, engine} = Keyword.split(place, [:base_url])
      step = Map.new([{:provider, named.(:provider)} | base_url])
      ask("get_provider_for_step", [{:step, step} | engine], settings)
    end
  end

  def get_provider_for_step(_step, _opts), do: invalid("step: wants a map", "step")

  @doc """
  Forgets the providers of a worker. One that some process has a reference of goes on until that
  process ends or calls `Vllm.release/1`. Takes `instance`, `timeout` and `rpc`.
  """
  @spec clear_cache(keyword()) :: {:ok, nil} | {:error, Error.t()}
  def clear_cache(opts \\ []) do
    with {:ok, settings} <- Settings.validate(:place, opts),
         do: on_instance("Inference", "clear_cache", [], settings)
  end

  @doc """
  Generates a text.

  `model` is the name of a model where the provider has several: for `VLLMProvider`, `OllamaProvider`
  and `AsyncLLMProvider`.

  ## Options

  #{Settings.docs(:generation)}
  """
  @spec generate(Provider.t(), String.t(), String.t(), keyword()) ::
          {:ok, GenerationResult.t()} | {:error, Error.t()}
  def generate(provider, prompt, model, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:generation, opts) do
      arguments = Settings.arguments(settings)

      provider
      |> call("generate", [prompt, model], arguments, opts, settings)
      |> checked(provider, "generate", &match?(%GenerationResult{}, &1))
    end
  end

  @doc """
  Makes an adapter known under an id: a folder of PEFT's, or a GGUF file for `LlamaCppProvider`.

  A server and an engine load it at once. The others read it at the first text that wants it; there an
  id that is loaded again stands for what is at the path now.

  ## Options

  #{Settings.docs(:loading)}
  """
  @spec load_adapter(Provider.t(), String.t(), String.t(), keyword()) ::
          {:ok, nil} | {:error, Error.t()}
  def load_adapter(provider, adapter_id, path, opts \\ []),
    do: change(provider, "load_adapter", [adapter_id, path], :loading, opts)

  @doc """
  Forgets an adapter: later texts are those of the model without it. Takes `timeout` and `rpc`.

  An id that is not known is an error of the server's for `VLLMProvider`, and ignored by the others.
  """
  @spec unload_adapter(Provider.t(), String.t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def unload_adapter(provider, adapter_id, opts \\ []),
    do: change(provider, "unload_adapter", [adapter_id], :asking, opts)

  @doc "The ids of the adapters that were loaded with the provider, sorted. Takes `timeout` and `rpc`."
  @spec list_adapters(Provider.t(), keyword()) :: {:ok, [String.t()]} | {:error, Error.t()}
  def list_adapters(provider, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:asking, opts) do
      provider
      |> call("list_adapters", [], [], opts, settings)
      |> checked(provider, "list_adapters", &is_list/1)
    end
  end

  @doc false
  # A provider that is in no cache, for the modules of the classes.
  @spec new(String.t(), keyword(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def new(class, arguments, opts) do
    with {:ok, settings} <- Settings.validate(:place, opts),
         do: on_instance(class, "new", arguments, settings)
  end

  @doc false
  # An engine by its reference, or by the name with which an instance declares it.
  @spec engine(term(), keyword()) :: {:ok, Ref.t()} | {:error, Error.t()}
  def engine(%Ref{} = engine, _opts), do: {:ok, engine}

  def engine(name, opts) when is_atom(name) and name not in [nil, true, false] do
    with {:ok, settings} <- Settings.validate(:place, opts),
         do: Vllm.engine(settings.instance || Vllm.Default, name, settings.timeout)
  end

  def engine(_other, _opts),
    do: invalid("engine: wants the Vllm.Ref of an AsyncLLM, or the name of an engine", "engine")

  ## Places

  defp place(nil, _settings), do: {:ok, []}
  defp place(text, _settings) when is_binary(text), do: {:ok, [base_url: text]}

  defp place(engine, settings) do
    with {:ok, engine} <- engine(engine, instance: settings.instance, timeout: settings.timeout),
         do: {:ok, [engine: engine]}
  end

  defp ask(method, arguments, settings) do
    # The engine is where the provider has to be.
    settings = if engine = arguments[:engine], do: %{settings | instance: engine}, else: settings

    arguments = arguments ++ [env: Settings.variables(settings.env)]
    on_instance("Inference", method, arguments, settings)
  end

  @doc false
  @spec on_instance(String.t(), String.t(), keyword(), map()) :: Call.result(term())
  def on_instance(class, method, arguments, settings) do
    place = List.wrap(settings.instance)
    Call.invoke_class(class, method, 0, place ++ [arguments, [rpc: settings.rpc]])
  end

  ## Calls

  defp change(provider, method, arguments, kind, opts) do
    with {:ok, settings} <- Settings.validate(kind, opts) do
      provider
      |> call(method, arguments, [], opts, settings)
      |> checked(provider, method, &is_nil/1)
    end
  end

  defp call(%Ref{type: type} = ref, method, positional, named, _opts, settings)
       when type in @types do
    with {:ok, %{"text" => text} = fields} <-
           Call.invoke(ref, method, positional, named, rpc: settings.rpc) do
      {:ok,
       %GenerationResult{
         text: text,
         model: fields["model"],
         adapter_id: fields["adapter_id"],
         token_count: fields["token_count"],
         finish_reason: fields["finish_reason"]
       }}
    end
  end

  defp call({module, state}, method, positional, _named, opts, _settings)
       when is_atom(module) and module not in [nil, true, false] do
    name = String.to_existing_atom(method)
    arity = length(positional) + 2

    if Code.ensure_loaded?(module) and function_exported?(module, name, arity),
      do: apply(module, name, [state | positional] ++ [opts]),
      else: invalid("provider: #{inspect(module)} has no #{method}/#{arity}", "provider")
  end

  defp call(other, _method, _positional, _named, _opts, _settings) do
    invalid(
      "provider: wants the Vllm.Ref of a provider or {module, state}, got: " <>
        inspect(other, limit: 5, printable_limit: 100),
      "provider"
    )
  end

  # What a module of an application returns could be anything.
  defp checked({:error, %Error{}} = error, _provider, _method, _fits), do: error

  defp checked(result, provider, method, fits) do
    if match?({:ok, _value}, result) and fits.(elem(result, 1)) do
      result
    else
      invalid(
        "#{method} of the provider #{inspect(provider, limit: 5)} returned what the behaviour " <>
          "does not allow: #{inspect(result, limit: 5, printable_limit: 100)}",
        "provider"
      )
    end
  end

  defp invalid(message, parameter),
    do: {:error, Error.new(:invalid, message, details: %{"parameter" => parameter})}
end
