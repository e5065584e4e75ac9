defmodule Vllm.LayeringTest do
  # cowlib, ports and sockets are used in one place each. Dependencies between modules point one way.
  use ExUnit.Case, async: true

  # Without the doctor, which checks the machine and not a worker.
  @sources Path.wildcard("elixir/lib/**/*.ex") --
             Path.wildcard("elixir/lib/vllm/core/doctor/*.ex")

  # From the bottom to the top: a module uses those of its own layer and of the layers before it.
  # `*` stands for the files of a folder that no other layer names.
  @layers [
    ["telemetry/emitter.ex", "outputs.ex", "inspection.ex", "status_table.ex", "outer_size.ex"],
    ["redacted_server.ex", "redacted_supervisor.ex", "python_command.ex"],
    ["options.ex", "telemetry/*"],
    ["chat/function_runs.ex"],
    ["chat/*", "inference/*", "mellea/*"],
    ["pooling/*"],
    ["llama_factory/*"],
    ["codec/*"],
    ["wire/*"],
    ["instance/last_failure.ex", "instance/locator.ex"],
    ["instance/declared.ex", "pool/choice.ex", "pool/lookup.ex", "pool/requests.ex"],
    ["pool/scope.ex"],
    ["instance/default.ex"],
    ["call/*"],
    ["worker/folder.ex", "worker/json_line.ex"],
    ["worker/launch.ex", "worker/log.ex", "worker/log_writer.ex", "worker/stop.ex"],
    ["worker/output.ex"],
    ["worker.ex"],
    ["worker/*"],
    ["connection/*"],
    ["connection.ex"],
    ["instance/*"],
    ["instance.ex"],
    ["pool/*"],
    ["pool.ex"],
    ["application.ex"],
    # Answers what the worker asks, by calls.
    ["mellea/asking.ex"],
    ["doctor/*"],
    ["demo/*"],
    # Makes calls for other libraries.
    ["integrations/*"],
    ["test/*"]
  ]

  @core "elixir/lib/vllm/core/"

  # Generated for Vllm.Call only.
  @internal ["elixir/lib/vllm/generated/timeouts.ex"]

  # The public modules that make calls.
  @calls ~w(elixir/lib/vllm.ex elixir/lib/vllm/call.ex elixir/lib/vllm/stream.ex
            elixir/lib/vllm/generated/async_llm.ex)

  # The lower module gets a function or a value in place of each of these.
  @replaced [
    {"connection/incoming.ex", "instance/engines.ex"},
    {"connection/incoming.ex", "instance/watchdog.ex"},
    {"call/producer.ex", "../call.ex"},
    {"call/arguments.ex", "application.ex"},
    {"worker/launch.ex", "instance/watchdog.ex"}
  ]

  # Tests of properties of several modules, or of the manual.
  @properties [
    "tests/elixir/unit/documents_test.exs",
    "tests/elixir/unit/documentation_test.exs",
    "tests/elixir/unit/layering_test.exs",
    "tests/elixir/unit/package_test.exs",
    "tests/elixir/unit/core/codec/round_trip_test.exs"
  ]

  # The decoder reads extension types, whose contents are values again, and one of them is a failure,
  # whose details are values.
  @longest_cycle 3

  describe "one module alone" do
    test "uses cowlib" do
      assert users(~r/:cow_\w+\./) == ["elixir/lib/vllm/core/wire/http2.ex"]
    end

    test "uses ports" do
      assert users(~r/\bPort\.(open|close|command|info)\b/) == ["elixir/lib/vllm/core/worker.ex"]
    end

    test "opens sockets, and one process owns them" do
      assert users(~r/:gen_tcp\.connect/) == ["elixir/lib/vllm/core/wire/socket.ex"]
      assert users(~r/:ssl\.connect/) == ["elixir/lib/vllm/core/wire/tls.ex"]

      # The socket of try_listen/1 is never connected.
      assert users(~r/:gen_tcp\.(send|recv|close)\(/) == ["elixir/lib/vllm/core/wire/socket.ex"]

      owner = [
        "elixir/lib/vllm/core/connection.ex",
        "elixir/lib/vllm/core/connection/handshake.ex",
        "elixir/lib/vllm/core/connection/outgoing.ex"
      ]

      assert users(~r/\bSocket\.(send|recv|close|activate)\(/) == owner
    end
  end

  test "no module makes atoms from text at run time" do
    assert users(~r/String\.to_atom\b|binary_to_atom\b/) -- tasks() == []
  end

  test "no module repeats the library's name" do
    for {module, _path} <- modules(),
        do: refute(match?(["Vllm", "Vllm" | _], Module.split(module)), inspect(module))
  end

  describe "core/" do
    test "has a layer for every module" do
      for path <- core(), do: assert(layer(path) != nil, "#{path} is in no layer")
    end

    test "makes calls only in the modules above the connection" do
      callers = for {from, targets} <- graph(), core?(from), to <- targets, to in @calls, do: from
      layers = callers |> Enum.uniq() |> Enum.map(&layer/1)
      assert Enum.min(layers) > layer("elixir/lib/vllm/core/connection.ex")
    end

    test "has none of the upward dependencies that a listener or a function replaces" do
      graph = graph()

      for {from, to} <- @replaced,
          do:
            refute(
              Path.relative_to_cwd(Path.expand(@core <> to)) in graph[@core <> from],
              "#{from} uses #{to}"
            )
    end

    test "uses nothing of a higher layer" do
      upward =
        for {from, targets} <- graph(),
            to <- targets,
            core?(from) and core?(to) and layer(to) > layer(from),
            do: "#{from} uses #{to}"

      assert upward == []
    end

    test "has private modules only, each named by its path" do
      for {module, path} <- modules(), core?(path), not protocol_implementation?(module) do
        assert {:docs_v1, _, _, _, :hidden, _, _} = Code.fetch_docs(module)
        named = module |> Module.split() |> Enum.map_join("/", &Macro.underscore/1)
        # A file may define a further struct inside its module.
        assert String.starts_with?(plain(named), plain(Path.rootname(relative(path))))
      end
    end
  end

  describe "the public modules" do
    test "are documented, with all of their functions" do
      for {module, path} <- modules(), not core?(path), not protocol_implementation?(module) do
        {:docs_v1, _, _, _, moduledoc, _, entries} = Code.fetch_docs(module)
        assert is_map(moduledoc) or path in @internal, "#{inspect(module)} has no documentation"

        for {{kind, name, arity}, _, _, doc, _} <- entries,
            kind != :type,
            do: assert(doc != :none, "#{inspect(module)}.#{name}/#{arity} has no documentation")
      end
    end

    test "name no private module in their documentation" do
      for {module, path} <- modules(), not core?(path) do
        {:docs_v1, _, _, _, moduledoc, _, entries} = Code.fetch_docs(module)
        docs = [moduledoc | Enum.map(entries, &elem(&1, 3))]

        for %{"en" => text} <- docs,
            do: refute(text =~ "Vllm.Core", "#{inspect(module)} names a private module: #{text}")
      end
    end
  end

  test "every unit test stands at the path of the module that it tests" do
    for path <- Path.wildcard("tests/elixir/unit/**/*_test.exs"), path not in @properties do
      source = path |> Path.relative_to("tests/elixir/unit") |> String.replace("_test.exs", ".ex")
      assert File.exists?("elixir/lib/vllm/" <> source), "#{path} is the test of no source"
    end
  end

  test "at most #{@longest_cycle} files depend on each other in a cycle" do
    graph = :digraph.new()
    uses = graph()
    for {from, _targets} <- uses, do: :digraph.add_vertex(graph, from)
    for {from, targets} <- uses, to <- targets, do: :digraph.add_edge(graph, from, to)
    lengths = graph |> :digraph_utils.cyclic_strong_components() |> Enum.map(&length/1)
    assert Enum.max(lengths) == @longest_cycle
  end

  defp users(pattern) do
    for path <- @sources, File.read!(path) =~ pattern, do: path
  end

  defp tasks, do: Path.wildcard("elixir/lib/mix/**/*.ex")

  ## The graph that `mix xref graph` shows

  # file => the files it uses, when it is compiled or when it runs
  defp graph do
    lines =
      ExUnit.CaptureIO.capture_io(fn -> Mix.Tasks.Xref.run(~w(graph --format plain)) end)
      |> String.split("\n", trim: true)

    {_file, graph} =
      Enum.reduce(lines, {nil, %{}}, fn line, {file, graph} ->
        case Regex.run(~r/^([|`]-- )?(\S+)/, line) do
          [_, "", file] -> {file, Map.put_new(graph, file, [])}
          [_, _branch, target] -> {file, Map.update!(graph, file, &[target | &1])}
        end
      end)

    graph
  end

  defp modules do
    {:ok, modules} = :application.get_key(:vllm_bridge, :modules)

    for module <- modules,
        path = module.module_info(:compile)[:source] |> to_string() |> Path.relative_to_cwd(),
        String.starts_with?(path, "elixir/lib/vllm"),
        do: {module, path}
  end

  defp protocol_implementation?(module), do: function_exported?(module, :__impl__, 1)

  defp core, do: Path.wildcard("elixir/lib/vllm/core/**/*.ex")
  defp core?(path), do: String.starts_with?(path, "elixir/lib/vllm/core/")

  defp layer(path) do
    path = Path.relative_to(path, "elixir/lib/vllm/core")
    folder = Path.join(Path.dirname(path), "*")
    Enum.find_index(@layers, &(path in &1)) || Enum.find_index(@layers, &(folder in &1))
  end

  defp relative(path), do: Path.relative_to(path, "elixir/lib")
  defp plain(name), do: String.replace(name, "_", "")
end
