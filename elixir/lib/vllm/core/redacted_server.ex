defmodule Vllm.Core.RedactedServer do
  @moduledoc false
  # For every process of the library: when it fails, the report names the place of the failure and
  # nothing of what the process held. Messages that a server does not know are refused with a warning
  # that shows their type and size only.
  #
  # `format_status/1` hides the state and the last message, but not the rest of what OTP reports of a
  # crash: arguments in the stack trace, the value in a MatchError, and all unread messages, in the log
  # and in the supervisor's report. So a failure in a callback becomes an orderly stop with an error,
  # which OTP does not report. `guarded/2` does the same for the function of a task.
  #
  # Supervisors show the arguments that their children were started with, in reports and in
  # :sys.get_status/1. Tokens, environment variables and engine arguments are among them, so `child/1`
  # puts them into a function.
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

  # callback => how many arguments it has
  @callbacks [
    init: 1,
    handle_info: 2,
    handle_continue: 2,
    handle_cast: 2,
    handle_call: 3,
    terminate: 2
  ]

  defmacro __before_compile__(env) do
    for {callback, arity} <- @callbacks, own?(env.module, {callback, arity}) do
      arguments = Macro.generate_arguments(arity, __MODULE__)

      quote do
        defoverridable [{unquote(callback), unquote(arity)}]

        @impl true
        def unquote(callback)(unquote_splicing(arguments)) do
          super(unquote_splicing(arguments))
        catch
          kind, reason ->
            error = Vllm.Core.RedactedServer.failed(__MODULE__, kind, reason, __STACKTRACE__)

            unquote(stopped(callback, List.last(arguments)))
        end
      end
    end
  end

  # Not those that GenServer has put there.
  defp own?(module, callback) do
    case Module.get_definition(module, callback) do
      {_version, _kind, meta, _clauses} -> meta[:context] != GenServer
      nil -> false
    end
  end

  defp stopped(:init, _options), do: quote(do: {:stop, {:shutdown, error}})
  # The process ends anyway, and with the reason that it has.
  defp stopped(:terminate, _state), do: quote(do: error)
  defp stopped(_callback, state), do: quote(do: {:stop, {:shutdown, error}, unquote(state)})

  @doc "The specification of a child whose arguments no supervisor shows."
  @spec child(Supervisor.child_spec() | {module(), term()} | module()) :: Supervisor.child_spec()
  def child(specification) do
    %{start: {module, function, arguments}} =
      specification = Supervisor.child_spec(specification, [])

    specification
    |> Map.put(:start, {__MODULE__, :start, [fn -> apply(module, function, arguments) end]})
    |> Map.put_new(:modules, [module])
  end

  @doc false
  @spec start((() -> result)) :: result when result: var
  def start(start_link), do: start_link.()

  @doc "Runs the function of a task. A failure is logged by its place, and returned as an error."
  @spec guarded(module(), (() -> result)) :: result | {:error, Error.t()} when result: var
  def guarded(module, function) do
    function.()
  catch
    kind, reason -> {:error, failed(module, kind, reason, __STACKTRACE__)}
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

  @doc "An exit reason: an atom, which says what happened, or the shape of what may hold more."
  @spec reason(term()) :: String.t()
  def reason(reason) when is_atom(reason), do: Atom.to_string(reason)
  def reason({:shutdown, reason}), do: "shutdown, #{reason(reason)}"
  def reason(reason), do: shape(reason)

  @doc """
  What `@impl` says of `format_status/1`, which OTP calls since 25. It is a callback of `GenServer`
  only since Elixir 1.17.
  """
  @spec format_status?() :: boolean()
  def format_status?, do: {:format_status, 1} in GenServer.behaviour_info(:callbacks)

  @doc "For format_status/1: what a crash report and :sys.get_status/1 may show."
  @spec hide(map(), (term() -> term())) :: map()
  def hide(status, show) do
    status
    |> Map.replace(:message, :hidden)
    |> Map.replace(:log, [])
    |> Map.replace_lazy(:reason, &reason/1)
    |> Map.replace_lazy(:state, show)
  end

  @doc false
  # `what` is the module of the process, or says in words what has failed.
  @spec failed(module() | String.t(), atom(), term(), Exception.stacktrace()) :: Error.t()
  def failed(what, kind, reason, stacktrace) do
    %{stacktrace: where} = Emitter.failure(kind, reason, stacktrace)
    what = if is_binary(what), do: what, else: inspect(what)
    message = "#{what} failed with #{what(kind, reason, stacktrace)}"
    Logger.error([message, "\n", Exception.format_stacktrace(where)])
    Error.new(:protocol, message <> "; this is a bug in vllm_bridge, please report it")
  end

  defp what(:error, reason, stacktrace),
    do: inspect(Exception.normalize(:error, reason, stacktrace).__struct__)

  defp what(kind, _reason, _stacktrace), do: "#{kind}"
end
