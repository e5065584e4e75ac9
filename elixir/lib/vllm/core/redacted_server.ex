defmodule Vllm.Core.RedactedServer do
  @moduledoc false
  # For a process that has other people's prompts in its hands: what it fails with tells where, and
  # nothing of what it held.
  #
  # `format_status/1` hides the state and the last message, but not the rest of what OTP reports of a
  # crash: arguments in the stack trace, the value in a MatchError, all messages that were not read
  # yet, to the log and to the supervisor's. So a failure in handle_info/2 or
  # handle_continue/2 becomes an orderly stop with an error, of which nothing more is reported.
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
    for callback <- [:handle_info, :handle_continue],
        Module.defines?(env.module, {callback, 2}) do
      quote do
        defoverridable [{unquote(callback), 2}]

        @impl true
        def unquote(callback)(message, state) do
          super(message, state)
        catch
          kind, reason ->
            {:stop,
             {:shutdown,
              Vllm.Core.RedactedServer.failed(__MODULE__, kind, reason, __STACKTRACE__)}, state}
        end
      end
    end
  end

  @doc false
  @spec failed(module(), atom(), term(), Exception.stacktrace()) :: Error.t()
  def failed(module, kind, reason, stacktrace) do
    %{stacktrace: where} = Emitter.failure(kind, reason, stacktrace)
    message = "#{inspect(module)} has failed with #{what(kind, reason, stacktrace)}"
    Logger.error([message, "\n", Exception.format_stacktrace(where)])
    Error.new(:protocol, message <> "; this is a bug of vllm_bridge")
  end

  defp what(:error, reason, stacktrace),
    do: inspect(Exception.normalize(:error, reason, stacktrace).__struct__)

  defp what(kind, _reason, _stacktrace), do: "#{kind}"
end
