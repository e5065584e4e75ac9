defmodule Vllm.Error do
  # kind => {what happened, what to do, whether the same call may succeed later}. The documentation,
  # the type and the messages are made from this table.
  @kinds [
    invalid:
      {"an argument is wrong; the request did not reach the engine",
       "Change the argument. The same call fails again.", false},
    not_found:
      {"there is no method, parameter, adapter or other thing with this name",
       "Check the name. The same call fails again.", false},
    unsupported:
      {"this engine, platform or bridge cannot do that",
       "Use another engine, platform or method. The same call fails again.", false},
    conflict:
      {"the object is not in the state that the call needs",
       "Bring it into the right state first, then call again.", false},
    overloaded: {"a limit is reached; nothing was started", "Safe to retry after a pause.", true},
    timeout:
      {"the deadline passed; the request was aborted",
       "Give it more time with `rpc: [timeout: ms]`, or ask for less. The request may have " <>
         "run in part: retry only what may happen twice.", false},
    cancelled:
      {"the client cancelled the call", "Nothing, if the cancellation was intended.", false},
    engine_dead:
      {"the engine has died, and all its requests have failed",
       "Build a new engine with from_engine_args. The worker goes on.", false},
    engine_error:
      {"vLLM or a provider's library failed this request, or the engine did not start; other requests and engines are " <>
         "not affected", "Look at the cause.", false},
    worker_down:
      {"the worker process has ended, or was never reached",
       "A supervised worker restarts by itself, without its engines: build the engine again and " <>
         "use its new reference, since every older reference is stale. Calls that were running " <>
         "may have run in part.", false},
    stale_ref:
      {"the reference was released, belongs to an earlier worker, or never existed",
       "Fetch the object again, or build the engine again.", false},
    protocol:
      {"client and worker do not understand each other",
       "Use the same version on both sides. If they are the same, this is a bug of the bridge: " <>
         "please report it.", false},
    python:
      {"any other Python exception", "See its type and the traceback for the reason.", false},
    draining:
      {"the worker is stopping and accepts no new calls",
       "Build the engine again, on another worker or on this one after its restart, and use its " <>
         "new reference.", false},
    missing_dependency:
      {"an optional library is not installed in the worker's environment",
       "Install it with the command in the message, then start the worker again.", false},
    http_status:
      {"a server that the call needs answered with an error",
       "Look at `details[\"status\"]` and the message, which is the server's.", false},
    unreachable:
      {"a server that the call needs cannot be reached",
       "Start it, or check its address. Safe to retry.", true},
    unauthenticated:
      {"client and worker do not trust each other: a token or a certificate is missing, has expired, " <>
         "or is not one that the other side knows",
       "Give the right `:token`, or mend the certificate that the message names. The same call " <>
         "fails again.", false},
    forbidden:
      {"the role of this token or certificate does not allow the call; it was not begun",
       "Use a token or certificate whose role allows it. The same call fails again.", false}
  ]

  @moduledoc """
  The error of a call: every call that fails returns `{:error, %Vllm.Error{}}`.

  A stream that fails after the engine has accepted the request raises the same struct when it is
  enumerated.

  Match on `kind`. It says what happened and what to do next:

  | kind | what happened | what to do |
  |---|---|---|
  #{for {kind, {what, todo, _}} <- @kinds, do: "| `#{inspect(kind)}` | #{what} | #{todo} |\n"}

  ## Fields

    * `kind` - one of the atoms above
    * `message` - what happened, to be read by a person
    * `type` - the qualified name of the Python exception, or `nil`
    * `traceback` - Python's traceback as text, or `nil`
    * `cause` - the `Vllm.Error` behind this one (Python's `__cause__`), or `nil`
    * `details` - a map with string keys, to be read by programs: the limit, the path … Of a refused
      parameter `"parameter"` and `"value"`, and `"values"` of several that contradict each other
    * `retryable` - whether the same call, unchanged, may succeed later

  `Exception.message/1` combines these fields into a text for a log.
  """

  defexception [:kind, :message, :type, :traceback, :cause, details: %{}, retryable: false]

  @typedoc "Whose fault an error is, and what to do next: see the table above."
  @type kind ::
          unquote(
            @kinds
            |> Keyword.keys()
            |> Enum.reverse()
            |> Enum.reduce(fn kind, union -> {:|, [], [kind, union]} end)
          )

  @type t :: %__MODULE__{
          kind: kind(),
          message: String.t(),
          type: String.t() | nil,
          traceback: String.t() | nil,
          cause: t() | nil,
          details: %{optional(String.t()) => term()},
          retryable: boolean()
        }

  @doc "The kinds, as listed above."
  @spec kinds() :: [kind(), ...]
  def kinds, do: unquote(Keyword.keys(@kinds))

  @doc false
  # Makes an error that the client has found.
  @spec new(kind(), String.t(), keyword()) :: t()
  for {kind, {_what, _todo, retryable}} <- @kinds do
    def new(unquote(kind), message, fields) when is_binary(message) do
      struct!(
        %__MODULE__{kind: unquote(kind), message: message, retryable: unquote(retryable)},
        fields
      )
    end
  end

  @doc false
  def new(kind, message), do: new(kind, message, [])

  @impl true
  def message(%__MODULE__{} = error) do
    IO.iodata_to_binary([headline(error), "\n\n", advice(error.kind), python(error)])
  end

  defp headline(%{kind: kind, type: type, message: message}) do
    [message, " (", Enum.intersperse([inspect(kind) | List.wrap(type)], ", "), ")"]
  end

  for {kind, {_what, todo, _retryable}} <- @kinds do
    defp advice(unquote(kind)), do: unquote(todo)
  end

  defp advice(_other), do: ""

  defp python(%{cause: %__MODULE__{} = cause} = error) do
    [traceback(error), "\n\ncaused by: ", headline(cause), python(cause)]
  end

  defp python(error), do: traceback(error)

  # The traceback is long, and the other kinds are clear without it.
  defp traceback(%{kind: kind, traceback: text})
       when kind in [:python, :engine_error] and is_binary(text) do
    ["\n\n", text |> String.trim_trailing() |> String.replace(~r/^/m, "    ")]
  end

  defp traceback(_error), do: []

  defimpl Inspect do
    import Inspect.Algebra

    # Lines and characters of a message that are shown. The message has all of them.
    @max_lines 20
    @max_characters 2_000

    # The message, with the causes of Python under it; of the details their names, because they may
    # hold what an argument held. Texts are shown as they are, because they are to be read.
    def inspect(error, _opts) do
      [first | rest] = [headline(error) | lines(error)]
      break = if rest == [] and not String.contains?(first, "\n"), do: " ", else: line()

      concat([
        "#Vllm.Error<",
        named(error.kind),
        nest(
          concat([break | Enum.intersperse(Enum.flat_map([first | rest], &split/1), line())]),
          2
        ),
        ">"
      ])
    end

    defp lines(error) do
      Enum.concat([
        causes(error.cause),
        names("details", error.details),
        traceback(error.traceback),
        if(error.retryable == true, do: ["retryable"], else: [])
      ])
    end

    defp causes(%Vllm.Error{} = cause),
      do: ["caused by #{named(cause.kind)} #{headline(cause)}" | causes(cause.cause)]

    defp causes(_none), do: []

    # The worker's own exceptions say no more than the kind.
    defp headline(%{type: "python_worker." <> _name, message: message}), do: shortened(message)

    defp headline(%{type: type, message: message}) when is_binary(type),
      do: "#{type |> String.split(".") |> List.last()}: #{shortened(message)}"

    defp headline(%{message: message}), do: shortened(message)

    defp names(title, %{} = details) when map_size(details) > 0 and not is_struct(details),
      do: ["#{title}: #{details |> Map.keys() |> Enum.map_join(", ", &text/1)}"]

    defp names(_title, _none), do: []

    defp traceback(text) when is_binary(text),
      do: ["traceback: #{text |> String.trim() |> String.split("\n") |> length()} lines"]

    defp traceback(_none), do: []

    defp shortened(message) when is_binary(message) do
      lines = message |> String.slice(0, @max_characters) |> String.split("\n")
      shown = lines |> Enum.take(@max_lines) |> Enum.join("\n") |> String.trim_trailing()
      if shown == String.trim_trailing(message), do: shown, else: shown <> " …"
    end

    # The fields of an error that a program has made may be anything.
    defp shortened(other), do: Kernel.inspect(other)

    defp split(text), do: String.split(text, "\n")

    defp named(kind), do: Kernel.inspect(kind)

    defp text(text) when is_binary(text), do: text
    defp text(other), do: Kernel.inspect(other)
  end
end
