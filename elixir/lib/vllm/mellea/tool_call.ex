defmodule Vllm.Mellea.ToolCall do
  @moduledoc "A function that the model wants called. `tool` is the `Vllm.Tool` that was offered."

  alias Vllm.{Call, Error, Tool}
  alias Vllm.Core.Chat.FunctionRuns
  alias Vllm.Core.Mellea.{Settings, Wire}

  defstruct [:name, :tool, args: %{}]

  @type t :: %__MODULE__{name: String.t(), args: map(), tool: Tool.t() | nil}

  @doc """
  Runs the function with the arguments, in a process of its own, and returns what it returns.

  `timeout` is in milliseconds.
  """
  @spec call(t(), timeout()) :: {:ok, term()} | {:error, Error.t()}
  def call(call, timeout \\ 60_000)

  def call(%__MODULE__{name: name, args: args, tool: %Tool{run: run}}, timeout)
      when is_function(run, 1) and
             (timeout == :infinity or (is_integer(timeout) and timeout in 0..4_233_600_000)) do
    case FunctionRuns.run([fn -> run.(args) end], timeout) do
      [{:ok, {:ok, value}}] -> {:ok, value}
      [{:ok, {:error, reason}}] -> {:error, failed(name, inspect(reason))}
      [{:ok, value}] -> {:ok, value}
      [{:error, :timeout}] -> {:error, Error.new(:timeout, "the tool #{name} took too long")}
      [{:error, reason}] -> {:error, failed(name, reason)}
    end
  end

  def call(_other, _timeout) do
    {:error,
     Error.new(
       :invalid,
       "call: wants a ToolCall whose tool has a function of one argument, and milliseconds"
     )}
  end

  @doc """
  The arguments of a call, made to fit the schema of a tool where that is possible, as Mellea does it
  with the calls that it finds in a text.

      ToolCall.validate_arguments(tool, %{"days" => "3"})
      #=> {:ok, %{"days" => 3}}

  ## Options

  #{Settings.docs(:arguments)}
  """
  @spec validate_arguments(Tool.t(), map(), keyword()) :: {:ok, map()} | {:error, Error.t()}
  def validate_arguments(tool, args, opts \\ []) do
    with {:ok, settings} <- Settings.validate(:arguments, opts) do
      named = [coerce_types: settings.coerce_types, strict: settings.strict]
      arguments = [{:tool, Wire.tool(tool)}, {:args, args} | named]
      place = List.wrap(settings.instance)

      Call.invoke_class(
        "MelleaTools",
        "validate_tool_arguments",
        0,
        place ++ [arguments, [rpc: settings.rpc]]
      )
    end
  end

  defp failed(name, reason),
    do: Error.new(:invalid, "the tool #{inspect(name)} failed: #{reason}")
end
