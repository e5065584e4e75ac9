defmodule Vllm.StandIns do
  @moduledoc false
  # Defines modules of libraries that are not installed here, while a test runs. The client finds them
  # by name, so a test module that uses them is not async.

  import ExUnit.Assertions

  # Measurements that an event may lack.
  @optional [:time_to_first_item, :input_tokens, :output_tokens] ++
              [:time_to_first_token, :time_per_output_token, :engine_duration]

  # Events arrive at the test as `{:event, name, measurements, metadata, emitter}`.
  def telemetry do
    define(:telemetry, """
    def execute(event, measurements, metadata) do
      send(#{test()}, {:event, event, measurements, metadata, self()})
      :ok
    end
    """)
  end

  # For pages of the manual: attached handlers are called, as by the real one, in the emitting process.
  def telemetry_with_handlers do
    define(:telemetry, """
    def attach_many(_id, events, handler, config) do
      :persistent_term.put(__MODULE__, [{events, handler, config} | handlers()])
    end

    def execute(event, measurements, metadata) do
      for {events, handler, config} <- handlers(), event in events,
          do: handler.(event, measurements, metadata, config)

      :ok
    end

    defp handlers, do: :persistent_term.get(__MODULE__, [])
    """)

    ExUnit.Callbacks.on_exit(fn -> :persistent_term.erase(:telemetry) end)
  end

  # Its functions make structs of their arguments, which reporters read.
  def telemetry_metrics do
    define(Telemetry.Metrics, """
    for kind <- [:counter, :distribution, :last_value, :sum] do
      def unquote(kind)(name, options) when is_binary(name) and is_list(options),
        do: {unquote(kind), name, options}
    end
    """)
  end

  # A trace with the test's headers, which are in the process dictionary as a real context is.
  def open_telemetry do
    define(:otel_propagator_text_map, """
    def inject(carrier), do: Process.get(:headers, []) ++ carrier
    """)
  end

  # Of Nx what `Vllm.Tensor` calls, with Nx's checks. It cannot tell what the real one makes of the bytes.
  def nx do
    define(Nx, """
    defstruct [:type, :shape, :data]

    def from_binary(data, {_kind, bits} = type) when rem(bit_size(data), bits) == 0 and data != "",
      do: %__MODULE__{type: type, shape: {div(bit_size(data), bits)}, data: data}

    def reshape(%__MODULE__{} = tensor, shape) when is_tuple(shape) do
      size = fn shape -> shape |> Tuple.to_list() |> Enum.product() end
      true = size.(shape) == size.(tensor.shape)
      %{tensor | shape: shape}
    end

    def type(%__MODULE__{type: type}), do: type
    def shape(%__MODULE__{shape: shape}), do: shape
    def to_binary(%__MODULE__{data: data}), do: data
    """)
  end

  # The modules of a library, from a file that names the version whose functions they have.
  def library(name), do: source(library_file(name))

  # A source of ours that is compiled only where a library is. Returns its modules.
  def source(path) do
    modules = compiled(path)
    ExUnit.Callbacks.on_exit(fn -> forget(modules) end)
    modules
  end

  # What `fun` returns while a library and a source for it are there: before the tests run. In a process
  # of its own, because what a test file compiles is checked when the whole file is.
  def with_library(name, path, fun) do
    task =
      Task.async(fn ->
        modules = Enum.flat_map([library_file(name), path], &compiled/1)
        result = fun.()
        forget(modules)
        result
      end)

    Task.await(task, :infinity)
  end

  defp library_file(name), do: "tests/elixir/support/libraries/#{name}.exs"
  defp compiled(path), do: for({module, _code} <- Code.compile_file(path), do: module)

  # A module that an application writes for a library. It has to compile without a warning.
  def application_module(code) do
    {modules, warnings} =
      ExUnit.CaptureIO.with_io(:stderr, fn ->
        for {module, _code} <- Code.compile_string(code), do: module
      end)

    assert warnings == ""
    ExUnit.Callbacks.on_exit(fn -> forget(modules) end)
  end

  # An event has exactly the measurements and metadata of its documentation.
  def assert_documented(event, measurements, metadata) do
    row = List.keyfind(Vllm.Telemetry.table(), event, 0)
    assert row, "#{inspect(event)} is not documented"
    {_event, _text, documented_measurements, documented_metadata} = row

    expected = Keyword.keys(documented_measurements)
    assert Enum.sort(Map.keys(measurements) -- @optional) == Enum.sort(expected -- @optional)
    assert Map.keys(measurements) -- expected == []
    assert Enum.sort(Map.keys(metadata)) == Enum.sort(Keyword.keys(documented_metadata))
    assert Enum.all?(Map.values(measurements), &is_number/1)
  end

  # The events so far, in the order of their arrival.
  def events(prefix \\ []) do
    receive do
      {:event, event, measurements, metadata, emitter} ->
        assert_documented(event, measurements, metadata)
        rest = events(prefix)

        if List.starts_with?(event, prefix),
          do: [{event, measurements, metadata, emitter} | rest],
          else: rest
    after
      0 -> []
    end
  end

  defp define(module, body) do
    Code.compile_string("defmodule #{inspect(module)} do\n#{body}end")

    ExUnit.Callbacks.on_exit(fn -> forget([module]) end)
    :ok
  end

  defp forget(modules) do
    for module <- modules do
      :code.purge(module)
      :code.delete(module)
    end
  end

  defp test, do: ":erlang.list_to_pid(~c\"#{:erlang.pid_to_list(self())}\")"
end
