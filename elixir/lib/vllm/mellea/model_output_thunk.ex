defmodule Vllm.Mellea.ModelOutputThunk do
  @moduledoc """
  A text that is being made, or was made: what `generate_from_context` returns.

      {:ok, text} = Vllm.Mellea.ModelOutputThunk.avalue(thunk)

  A thunk is an object of the worker, and this is its `Vllm.Ref`. When no process holds it any more, its
  request ends in the engine. `Vllm.release/1` lets it go earlier.

  All functions take `timeout` in milliseconds, 600000 unless set, and `rpc`, the options of the bridge.
  An error of the engine is the error of every later call.
  """

  alias Vllm.{Call, Error, Ref, Stream, Tool}
  alias Vllm.Core.Mellea.{Settings, Wire}
  alias Vllm.Mellea.{GenerateLog, Message, ToolCall}

  @type t :: Ref.t()

  @log GenerateLog.__struct__() |> Map.from_struct() |> Map.keys()

  @doc """
  Begins a text that no request makes: `Vllm.Mellea.Backends.LocalVLLMBackend.processing/4` adds the
  outputs of a request of your own to it, and
  `Vllm.Mellea.Backends.LocalVLLMBackend.post_processing/8` ends it. Until then only `is_computed/2`,
  `value/2` and `cancel/2` can be asked.

  ## Options

  #{Settings.docs(:begun)}
  """
  @spec new(Ref.t(), keyword()) :: {:ok, t()} | {:error, Error.t()}
  def new(backend, opts \\ [])

  def new(%Ref{type: "LocalVLLMBackend"} = backend, opts) do
    with {:ok, settings} <- Settings.validate(:begun, opts) do
      arguments = [action: Wire.span(settings.action), model_options: settings.model_options]
      Call.invoke(backend, "new_thunk", [], arguments, rpc: settings.rpc)
    end
  end

  def new(other, _opts) do
    message =
      "backend: wants the Vllm.Ref of a LocalVLLMBackend, got: " <>
        inspect(other, limit: 5, printable_limit: 100)

    {:error, Error.new(:invalid, message, details: %{"parameter" => "backend"})}
  end

  @doc "Whether the text is whole."
  @spec is_computed(t(), keyword()) :: {:ok, boolean()} | {:error, Error.t()}
  def is_computed(thunk, opts \\ []), do: call(thunk, "is_computed", opts)

  @doc "The text, or `nil` until it is whole and somebody has read it to its end."
  @spec value(t(), keyword()) :: {:ok, String.t() | nil} | {:error, Error.t()}
  def value(thunk, opts \\ []), do: call(thunk, "value", opts)

  @doc "Waits for the whole text."
  @spec avalue(t(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def avalue(thunk, opts \\ []), do: call(thunk, "avalue", opts)

  @doc """
  Waits for more of the text, and returns what is new. After the end it is the error `:invalid`.

  Without the option `stream: true` of the generation the first piece is the whole text.
  """
  @spec astream(t(), keyword()) :: {:ok, String.t()} | {:error, Error.t()}
  def astream(thunk, opts \\ []), do: call(thunk, "astream", opts)

  @doc "The rest of the text as a `Vllm.Stream` of its pieces. Who halts it leaves the rest for others."
  @spec to_stream(t(), keyword()) :: {:ok, Stream.t()} | {:error, Error.t()}
  def to_stream(thunk, opts \\ []), do: call(thunk, "stream", opts)

  @doc "What the action made of the text: a text, or a message for a message. `nil` until it is whole."
  @spec parsed_repr(t(), keyword()) :: {:ok, String.t() | Message.t() | nil} | {:error, Error.t()}
  def parsed_repr(thunk, opts \\ []) do
    with {:ok, %{"role" => role, "content" => content}} <- call(thunk, "parsed_repr", opts),
         do: {:ok, %Message{role: role, content: content}}
  end

  @doc """
  Waits for the whole text, and returns the calls in it by the tool's name; of two of one tool the last.
  `nil` if there are none.

  `tools` are those that the model was offered, so that `Vllm.Mellea.ToolCall.call/2` finds the
  function.
  """
  @spec tool_calls(t(), [Tool.t()], keyword()) ::
          {:ok, %{String.t() => ToolCall.t()} | nil} | {:error, Error.t()}
  def tool_calls(thunk, tools \\ [], opts \\ []) do
    with {:ok, calls} <- call(thunk, "tool_calls", opts), do: {:ok, with_tools(calls, tools)}
  end

  @doc "What was asked, and with which options; `nil` until the text is whole."
  @spec generate_log(t(), keyword()) :: {:ok, GenerateLog.t() | nil} | {:error, Error.t()}
  def generate_log(thunk, opts \\ []) do
    with {:ok, %{} = log} <- call(thunk, "generate_log", opts) do
      {:ok, struct!(GenerateLog, for(name <- @log, do: {name, log[Atom.to_string(name)]}))}
    end
  end

  @doc "The id of the request in the engine, for `Vllm.AsyncLLM.abort/2`; `nil` if no request makes it."
  @spec request_id(t(), keyword()) :: {:ok, String.t() | nil} | {:error, Error.t()}
  def request_id(thunk, opts \\ []), do: call(thunk, "request_id", opts)

  @doc "Ends the request. What was made of the text so far is its value."
  @spec cancel(t(), keyword()) :: {:ok, nil} | {:error, Error.t()}
  def cancel(thunk, opts \\ []), do: call(thunk, "cancel", opts)

  @doc false
  @spec with_tools(map() | nil, term()) :: %{String.t() => ToolCall.t()} | nil
  def with_tools(nil, _tools), do: nil

  def with_tools(calls, tools) do
    by_name = for %Tool{name: name} = tool <- tools(tools), into: %{}, do: {name, tool}

    Map.new(calls, fn {name, args} ->
      {name, %ToolCall{name: name, args: args, tool: by_name[name]}}
    end)
  end

  defp tools(tools) when is_map(tools) and not is_struct(tools), do: Map.values(tools)
  defp tools(tools) when length(tools) >= 0, do: tools
  defp tools(_other), do: []

  defp call(%Ref{type: "ModelOutputThunk"} = thunk, method, opts) do
    with {:ok, settings} <- Settings.validate(:thunk, opts),
         do: Call.invoke(thunk, method, [], [], rpc: settings.rpc)
  end

  defp call(other, _method, _opts) do
    message =
      "thunk: wants the Vllm.Ref of a ModelOutputThunk, got: " <>
        inspect(other, limit: 5, printable_limit: 100)

    {:error, Error.new(:invalid, message, details: %{"parameter" => "thunk"})}
  end
end
