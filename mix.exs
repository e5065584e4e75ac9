defmodule Vllm.MixProject do
  use Mix.Project

  @version "0.1.0"

  @optional [{:igniter, "~> 0.6", optional: true}, {:kino, "~> 0.14", optional: true}]

  def project do
    [
      app: :vllm_bridge,
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: elixirc_paths(Mix.env()),
      test_paths: ["tests/elixir"],
      compilers: Mix.compilers() ++ [:python_worker],
      start_permanent: Mix.env() == :prod,
      deps: deps(),
      dialyzer: [plt_add_apps: [:mix, :iex]],
      name: "vllm_bridge",
      description: "vLLM's AsyncLLM from Elixir: real engines, streaming, supervised.",
      package: package(),
      docs: &docs/0
    ]
  end

  def application do
    [extra_applications: [:logger, :ssl, :cowlib], mod: {Vllm.Core.Application, []}]
  end

  defp elixirc_paths(:test), do: ["elixir/lib", "tests/elixir/support"]
  defp elixirc_paths(_env), do: ["elixir/lib"]

  # cowlib is the one runtime dependency. Where Hex cannot be reached, set-up unpacks the operating
  # system's build of it into vendor/; VLLM_BRIDGE_COWLIB names another folder, with the build for
  # another Erlang. It is compiled already: the command is there because Mix wants one for a folder
  # without a build file of its own.
  defp deps do
    cowlib = System.get_env("VLLM_BRIDGE_COWLIB") || Path.join(__DIR__, "vendor/cowlib")

    if File.dir?(Path.join(cowlib, "ebin")),
      do: [{:cowlib, path: cowlib, compile: "true"} | if(known?(), do: @optional, else: [])],
      else: [{:cowlib, "~> 2.12"} | @optional]
  end

  # An application that has the optional dependencies too compiles them first, and then this library
  # with what it has for them. Without Hex, Mix knows no such dependency; and the library itself needs
  # none of them: its tests have stand-ins. While a dependency is read, there is a project already.
  defp known?, do: Mix.Project.get() != nil and Code.ensure_loaded?(Hex)

  defp package do
    [
      licenses: ["Apache-2.0"],
      links: %{},
      files:
        ~w(elixir/lib elixir/guides proto python_worker pyproject.toml mix.exs .formatter.exs README.md
           CHANGELOG.md LICENSE) ++ Path.wildcard("usage-rules.md"),
      exclude_patterns: [~r/__pycache__/]
    ]
  end

  # Read by `mix docs` only, which is run in the repository: the file is no part of the package.
  defp docs do
    {docs, _bindings} = Code.eval_file("elixir/docs.exs", __DIR__)
    Keyword.put(docs, :source_ref, "v#{@version}")
  end
end

defmodule Mix.Tasks.Compile.PythonWorker do
  @moduledoc false
  # Puts the worker's Python sources into the application's priv/python, where the client starts
  # them from: `priv` is what a release carries and what a dependent project can find.
  #
  # There is no priv/ in the repository, so `<build>/priv` is a folder of our own and its two
  # entries are links to the sources: an edited Python file is in use at once, and tracebacks name
  # the file one edits. `mix release` copies what the links point to. Where links cannot be made,
  # the files are copied instead.
  use Mix.Task.Compiler

  @sources ["python_worker", "pyproject.toml"]

  @impl true
  def run(_args) do
    target = Path.join(Mix.Project.app_path(), "priv/python")
    File.mkdir_p!(target)

    for name <- @sources, File.exists?(name) do
      {:ok, _} = Mix.Utils.symlink_or_copy(Path.expand(name), Path.join(target, name)) |> ok()
    end

    {:noop, []}
  end

  @impl true
  def clean do
    File.rm_rf!(Path.join(Mix.Project.app_path(), "priv/python"))
    :ok
  end

  defp ok(:ok), do: {:ok, []}
  defp ok(other), do: other
end
