defmodule Vllm.Core.RedactedServer do
  @moduledoc false
  # For a GenServer that handles prompts: when it fails, the report names the place of the failure and
  # nothing of what the process held.
  #
  # `format_status/1` hides the state and the last message, but not the rest of what OTP reports of a
  # crash: arguments in the stack trace, the value in a MatchError, and all unread messages, in the log
  # and in the supervisor's report. So a failure in handle_info/2 or handle_continue/2 becomes an
  # orderly stop with an error, which OTP does not report.
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
    message = "#{inspect(module)} failed with #{what(kind, reason, stacktrace)}"
    Logger.error([message, "\n", Exception.format_stacktrace(where)])
    Error.new(:protocol, message <> "; this is a bug in vllm_bridge, please report it")
  end

  defp what(:error, reason, stacktrace),
    do: inspect(Exception.normalize(:error, reason, stacktrace).__struct__)

  defp what(kind, _reason, _stacktrace), do: "#{kind}"
end
