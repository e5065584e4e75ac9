# Runs tests against changed modules in one BEAM, which would otherwise start for each change.
#
# Reads commands from standard input, a line each, and answers with a line that begins with `mutants:`.
#
#     load LABEL FILE …     compiles test files, calls their modules LABEL, and runs them
#     run LABEL [SOURCE]    compiles a changed source in memory, runs these tests up to the first that
#                           fails, and puts the modules of the disk back; without a source, runs the
#                           tests alone
#     again                 runs the module of the test that has failed, without a change
#
# Answers: `passed COUNT`; `failed TEST`; `late TEST`, if the test ran into its time limit; `invalid
# REASON`, if the source does not compile.

defmodule Mutants.Formatter do
  @moduledoc false
  use GenServer

  @impl true
  def init(_options), do: {:ok, nil}

  @impl true
  def handle_cast({:test_finished, %{state: {:failed, reasons}} = test}, nil) do
    late? = Enum.any?(reasons, &match?({_kind, %ExUnit.TimeoutError{}, _stack}, &1))
    {:noreply, note(if(late?, do: "late", else: "failed"), test.name, test.module)}
  end

  # A setup_all that fails.
  def handle_cast({:module_finished, %{state: {:failed, _reasons}, name: name}}, nil),
    do: {:noreply, note("failed", name, name)}

  def handle_cast(_event, state), do: {:noreply, state}

  # Of the first failure.
  defp note(how, name, module) do
    :persistent_term.put(:mutants, {how, name, module})
    :noted
  end
end

defmodule Mutants.Runner do
  @moduledoc false

  def main do
    # On a loaded machine a test may be slow; one that passes needs neither of these.
    ExUnit.start(autorun: false)

    ExUnit.configure(
      formatters: [Mutants.Formatter],
      capture_log: true,
      exclude: [],
      max_failures: 1,
      timeout: 30_000,
      assert_receive_timeout: 8_000
    )

    Logger.configure(level: :info)
    Code.compiler_options(ignore_module_conflict: true)
    answer("ready")
    loop(%{})
  end

  defp loop(labels) do
    case IO.gets("") do
      :eof -> :ok
      line -> line |> String.split() |> command(labels) |> loop()
    end
  end

  defp command(["load", label | files], labels) do
    modules =
      for file <- files, {module, _code} <- Code.compile_file(file), test?(module), do: module

    # They have entered themselves for the next run when they were compiled.
    run([])
    Map.put(labels, label, modules)
  end

  defp command(["run", label], labels) do
    labels |> Map.fetch!(label) |> run()
    labels
  end

  defp command(["run", label, source], labels) do
    case compile(source) do
      {:ok, modules} ->
        labels |> Map.fetch!(label) |> run()
        Enum.each(modules, &restore/1)

      {:error, reason} ->
        answer("invalid #{reason}")
    end

    labels
  end

  defp command(["again"], labels) do
    {_how, _name, module} = :persistent_term.get(:mutants)
    run([module])
    labels
  end

  defp test?(module), do: function_exported?(module, :__ex_unit__, 0)

  defp compile(source) do
    {modules, _warnings} =
      ExUnit.CaptureIO.with_io(:stderr, fn ->
        source |> Code.compile_file() |> Enum.map(&elem(&1, 0))
      end)

    {:ok, modules}
  rescue
    exception -> {:error, inspect(exception.__struct__)}
  end

  defp restore(module) do
    :code.purge(module)
    :code.delete(module)
    :code.purge(module)
    {:module, ^module} = :code.load_file(module)
  end

  defp run(modules) do
    :persistent_term.put(:mutants, nil)
    %{total: total, failures: failures} = ExUnit.run(modules)

    case :persistent_term.get(:mutants) do
      {how, name, _module} -> answer("#{how} #{name}")
      nil when failures > 0 -> answer("failed")
      nil -> answer("passed #{total}")
    end
  end

  defp answer(text), do: IO.puts(["mutants: ", String.replace(text, "\n", " ")])
end

Mutants.Runner.main()
