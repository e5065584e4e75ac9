defmodule Vllm.Documents.Commands do
  @moduledoc false
  # The commands that a page names, in its text and in its blocks of shell, and what is wrong with them:
  # goals of make, tasks of Mix and their options, modules and options of the worker. A program that is
  # not in the list of others is a typing error or belongs into the list.

  alias Vllm.Documents

  @programs ~w(apt-get cd cp curl docker elixir export git grep grpc_health_probe grpcurl iex ls make
               mix mkdir nvidia-smi pip podman ps python python3 ssh sudo systemctl journalctl tail
               unshare useradd install)

  # Tasks of Mix itself, of Igniter, and of a library that is named as the one to leave.
  @foreign_tasks ~w(compile deps.get format igniter.install local.hex local.rebar new release run
                    snakebridge.setup test)

  @spec unknown(Path.t()) :: [String.t()]
  def unknown(page) do
    lines = lines(page)
    text = Enum.join(lines ++ Documents.spans(page) ++ other_blocks(page), "\n")
    Enum.uniq(programs(lines) ++ goals(text) ++ tasks(text) ++ modules(text))
  end

  # What is typed at a prompt; a line that ends in \\ goes on in the next.
  defp lines(page) do
    for %{language: "console", code: code} <- Documents.blocks(page),
        line <- code |> String.replace(~r/\\\n\s*/, "") |> String.split("\n"),
        [_, command] <- [Regex.run(~r/^[$#] (.+)$/, line)],
        do: command
  end

  defp other_blocks(page) do
    for %{language: language, code: code} <- Documents.blocks(page),
        language in ~w(ini dockerfile yaml),
        do: code
  end

  defp programs(lines) do
    for line <- lines,
        command <- String.split(line, ~r/ (?:&&|\|\|?) /),
        program = program(command),
        program not in @programs and not own?(program),
        do: "no page may name the program `#{program}`"
  end

  defp program(command) do
    command
    |> String.split()
    |> Enum.drop_while(&(&1 == "sudo" or &1 =~ ~r/^[A-Z_]+=/))
    |> List.first("")
  end

  # Of an application, its environment or its release.
  defp own?(program), do: String.contains?(program, "/")

  defp goals(text) do
    known = for [_, goals] <- Regex.scan(~r/^([a-z- ]+):/m, makefile()), do: String.split(goals)
    known = List.flatten(known)

    for [_, goal] <- Regex.scan(~r/(?:^|&& |\bRUN )make ([a-z][a-z-]*)/m, text),
        goal not in known,
        do: "`make #{goal}` is no goal of the Makefile"
  end

  defp makefile, do: File.read!("Makefile")

  defp tasks(text) do
    for [_, name, options] <-
          Regex.scan(~r/\bmix ([a-z][\w.]*)((?: --?[\w-]+(?:[ =][^-\s]\S*)?)*)/, text),
        fault = task(name, options),
        do: fault
  end

  defp task("vllm." <> _ = name, options) do
    case Mix.Task.get(name) do
      nil ->
        "`mix #{name}` is no task"

      task ->
        documentation = Mix.Task.moduledoc(task)

        Enum.find_value(flags(options), fn flag ->
          unless documentation =~ ~r/#{flag}\b/, do: "`mix #{name}` has no #{flag}"
        end)
    end
  end

  defp task(name, _options) when name in @foreign_tasks, do: nil
  defp task(name, _options), do: "`mix #{name}` is a task of nobody"

  defp modules(text) do
    for [_, module, rest] <- Regex.scan(~r/-m (python_worker[\w.]*)([^\n`]*)/, text),
        fault = module(module, rest),
        do: fault
  end

  defp module(name, rest) do
    path = String.replace(name, ".", "/")
    files = Enum.filter([path <> ".py", path <> "/__main__.py"], &File.exists?/1)
    sources = files ++ Path.wildcard(path <> "/*.py") ++ options_of(name)

    cond do
      files == [] -> "`python -m #{name}` does not exist"
      flag = Enum.find(flags(rest), &(not known?(&1, sources))) -> "`#{name}` has no #{flag}"
      true -> nil
    end
  end

  # The worker's own are in a module of their own.
  defp options_of("python_worker"), do: ["python_worker/command_line.py"]
  defp options_of(_other), do: []

  defp known?("--help", _sources), do: true
  defp known?(flag, sources), do: Enum.any?(sources, &(File.read!(&1) =~ ~s("#{flag}")))

  defp flags(text), do: for([flag] <- Regex.scan(~r/(?<=\s)--[a-z][\w-]*/, text), do: flag)
end
