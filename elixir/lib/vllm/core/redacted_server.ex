defmodule Vllm.Core.RedactedServer do
  @moduledoc false
  # For every GenServer of the library: when it fails, the report names the place of the failure and
  # nothing of what the process held. Messages that it does not know are refused with a warning that
  # shows their type and size only.
  #
  # `format_status/1` hides the state and the last message, but not the rest of what OTP reports of a
  # crash: arguments in the stack trace, the value in a MatchError, and all unread messages, in the log
  # and in the supervisor's report. So a failure in a callback becomes an orderly stop with an error,
  # which OTP does not report.
  #
  #     use GenServer
  #     use Vllm.Core.RedactedServer

  alias Vllm.Error
  alias Vllm.Core.Telemetry.Emitter

  require Logger

  defmacro __using__(_options) do
    quote do
      @before_compile Vllm.Core.RedactedServer
    end
  end

  defmacro __before_compile__(env) do
    for {callback, arity} <- [handle_info: 2, handle_continue: 2, handle_cast: 2, handle_call: 3],
        Module.defines?(env.module, {callback, arity}) do
      arguments = Macro.generate_arguments(arity, __MODULE__)
      state = List.last(arguments)

      quote do
        defoverridable [{unquote(callback), unquote(arity)}]

        @impl true
        def unquote(callback)(unquote_splicing(arguments)) do
          super(unquote_splicing(arguments))
        catch
          kind, reason ->
            {:stop,
             {:shutdown,
              Vllm.Core.RedactedServer.failed(__MODULE__, kind, reason, __STACKTRACE__)},
             unquote(state)}
        end
      end
    end
  end

  @doc "Ignores a message or cast that the process does not know."
  @spec stray(module(), String.t(), term(), state) :: {:noreply, state} when state: term()
  def stray(module, what, message, state) do
    Logger.warning("#{inspect(module)} ignored an unknown #{what}: #{shape(message)}")
    {:noreply, state}
  end

  @doc "Refuses a call that the process does not know."
  @spec stray_call(module(), term(), state) :: {:reply, {:error, Error.t()}, state}
        when state: term()
  def stray_call(module, message, state) do
    Logger.warning("#{inspect(module)} refused an unknown call: #{shape(message)}")

    error =
      Error.new(:invalid, "#{inspect(module)} knows no call of this shape: #{shape(message)}")

    {:reply, {:error, error}, state}
  end

  @doc "The type and size of a term, without its content."
  @spec shape(term()) :: String.t()
  def shape(%struct{}) when is_atom(struct), do: "a struct"
  def shape(term) when is_tuple(term), do: "a tuple of #{tuple_size(term)} elements"
  def shape(term) when is_binary(term), do: "a binary of #{byte_size(term)} bytes"
  def shape(term) when is_bitstring(term), do: "a bitstring of #{bit_size(term)} bits"
  def shape(term) when is_map(term), do: "a map of #{map_size(term)} keys"
  def shape([]), do: "an empty list"
  def shape(term) when is_list(term), do: "a list"
  def shape(term) when is_atom(term), do: "an atom"
  def shape(term) when is_integer(term), do: "an integer"
  def shape(term) when is_float(term), do: "a float"
  def shape(term) when is_pid(term), do: "a pid"
  def shape(term) when is_reference(term), do: "a reference"
  def shape(term) when is_function(term), do: "a function"
  def shape(term) when is_port(term), do: "a port"

  @doc "For format_status/1: what a crash report and :sys.get_status/1 may show."
  @spec hide(map(), (term() -> term())) :: map()
  def hide(status, show) do
    status
    |> Map.replace(:message, :hidden)
    |> Map.replace(:log, [])
    |> Map.replace_lazy(:state, show)
  end

  @doc false
  @spec failed(module(), atom(), term(), Exception.stacktrace()) :: Error.t()
  def failed(module, kind, reason, stacktrace) do
    %{stacktrace: where} = Emitter.failure(kind, reason, stacktrace)
    message = "#{inspect(module)} failed with #{what(kind, reason, stacktrace)}"
    Logger.error([message, "\n", Exception.format_stacktrace(where)])
    Error.new(:protocol, message <> "; this is a bug in vllm_bridge, please report it")
  end

  defp what(:error, reason, stacktrace),
    do: inspect(Exception.normalize(:error, reason, stacktrace).__struct__)

  defp what(kind, _reason, _stacktrace), do: "#{kind}"
end
